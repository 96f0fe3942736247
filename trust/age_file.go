package trust

import (
	"fmt"
	"os"
	"path/filepath"
)

// SealFile encrypts a secret into a file, which is replaced whole or not at
// all; its folder is made. The file is ciphertext, so everybody may read it.
func SealFile(file string, plaintext []byte, recipients []string) error {
	sealed, err := Encrypt(plaintext, recipients)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder for %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = tmp.Write(sealed)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// OpenFile decrypts a file with the first identity that can.
func OpenFile(file string, identities ...AgeIdentity) ([]byte, error) {
	sealed, err := readAge(file)
	if err != nil {
		return nil, err
	}
	return Decrypt(sealed, identities...)
}
