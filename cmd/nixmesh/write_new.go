package main

import (
	"errors"
	"os"
	"path/filepath"
)

// writeNew writes a file that is not there, whole and on the disk, or leaves
// nothing. Its folder is made.
func writeNew(name string, text []byte) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
