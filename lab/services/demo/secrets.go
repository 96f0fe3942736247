package demo

import (
	"errors"
	"fmt"
	"os"
)

// ReadSecrets reads the secrets that the service was given: NAME_FILE is the
// path of NAME's. One without that variable was not given and is left out; one
// that cannot be read, or is empty, is an error, as a real program would have it.
func ReadSecrets(getenv func(string) string, names ...string) (map[string]string, error) {
	secrets := map[string]string{}
	for _, name := range names {
		file := getenv(name + "_FILE")
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err == nil && len(text) == 0 {
			err = errors.New("the file is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("read secret %s: %w", name, err)
		}
		secrets[name] = string(text)
	}
	return secrets, nil
}
