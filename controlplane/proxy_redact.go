package controlplane

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// secretFields are those whose content nobody is shown, wherever they stand.
// Envoy leaves out most of them by itself.
func secretFields() []string {
	return []string{"private_key", "password", "passphrase", "session_ticket_keys", "generic_secret", "auth_password", "downstream_auth_passwords", "private_key_provider"}
}

// maxField bounds the name of a field that is compared, in bytes as JSON has them.
const maxField = 256

var errNoJSON = errors.New("it is no JSON")

// redact copies one value of JSON, of at most so many bytes, and leaves out what
// secretFields hold. It keeps one name at a time, however much there is.
func redact(w io.Writer, r io.Reader, most int64) error {
	c := &redactor{in: bufio.NewReader(r), out: bufio.NewWriter(w), left: most, most: most, secret: secretFields()}
	if err := c.copy(); err != nil {
		return err
	}
	return c.out.Flush()
}

type redactor struct {
	in         *bufio.Reader
	out        *bufio.Writer
	left, most int64 // bytes
	secret     []string
	field      []byte // the last text, as it stands in JSON without its quotes
}

// next is one byte of what is copied.
func (c *redactor) next() (byte, error) {
	if c.left--; c.left < 0 {
		return 0, fmt.Errorf("it has more than %d MiB", c.most>>20)
	}
	return c.in.ReadByte()
}

func (c *redactor) copy() error {
	depth, began := 0, false
	for {
		b, err := c.next()
		switch {
		case errors.Is(err, io.EOF) && began && depth == 0:
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		began = true
		if err := c.out.WriteByte(b); err != nil {
			return err
		}
		switch b {
		case '"':
			err = c.text(c.out)
		case ':':
			if c.hidden() {
				if _, err = c.out.WriteString(`"[redacted]"`); err == nil {
					err = c.skip()
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				err = errNoJSON
			}
		}
		if err != nil {
			return err
		}
	}
}

// text copies the rest of a text, and keeps it where it may be a name.
func (c *redactor) text(to io.ByteWriter) error {
	c.field = c.field[:0]
	for escaped := false; ; {
		b, err := c.next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err == nil {
			err = to.WriteByte(b)
		}
		if err != nil {
			return err
		}
		switch {
		case escaped:
			escaped = false
		case b == '"':
			return nil
		case b == '\\':
			escaped = true
		}
		if len(c.field) <= maxField {
			c.field = append(c.field, b)
		}
	}
}

// hidden says whether the last text is the name of a secret field, however it is
// written.
func (c *redactor) hidden() bool {
	if len(c.field) > maxField {
		return false
	}
	name := string(c.field)
	if strings.Contains(name, `\`) && json.Unmarshal([]byte(`"`+name+`"`), &name) != nil {
		return false
	}
	return slices.Contains(c.secret, name)
}

// skip passes over the value that follows a name.
func (c *redactor) skip() error {
	for depth := 0; ; {
		b, err := c.next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch b {
		case ' ', '\t', '\n', '\r':
			continue
		case '"':
			if err := c.text(nowhere{}); err != nil {
				return err
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return errNoJSON
			}
		case ',', ':':
			if depth == 0 {
				return errNoJSON
			}
		default: // a part of a number, or of a word
			next, err := c.in.Peek(1)
			if err == nil && depth == 0 && slices.Contains([]byte(",}] \t\n\r"), next[0]) {
				return nil
			}
			continue
		}
		if depth == 0 {
			return nil
		}
	}
}

// nowhere takes bytes that nobody is shown.
type nowhere struct{}

func (nowhere) WriteByte(byte) error { return nil }
