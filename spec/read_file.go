package spec

import (
	"errors"
	"fmt"
	"io"
	"os"
)

var errNotRegular = errors.New("it is not a regular file")

// readRegular reads a file of at most so many bytes. A pipe, which could be waited
// for in vain, is not opened.
func readRegular(file string, most int) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("it has more than %d MiB", most>>20)
	}
	return text, err
}
