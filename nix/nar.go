package nix

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// HashPath is the NAR hash of a file or folder in SRI form ("sha256-…"), as
// `nix hash path` prints it.
func HashPath(path string) (string, error) {
	h := sha256.New()
	if err := WriteNar(h, path); err != nil {
		return "", err
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// WriteNar serialises a file, folder or link as a Nix archive. Of the mode
// only the owner's executable bit counts, names sort by bytes.
func WriteNar(w io.Writer, path string) error {
	n := &narWriter{w: w}
	n.str("nix-archive-1")
	if err := n.node(path); err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	return n.err
}

type narWriter struct {
	w   io.Writer
	err error // the first one; later writes do nothing
}

func (n *narWriter) node(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	n.str("(")
	n.str("type")
	switch {
	case info.Mode().IsRegular():
		if err := n.file(path, info); err != nil {
			return err
		}
	case info.IsDir():
		if err := n.folder(path); err != nil {
			return err
		}
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		n.str("symlink")
		n.str("target")
		n.str(target)
	default:
		return fmt.Errorf("%s is no file, folder or link", path)
	}
	n.str(")")
	return n.err
}

func (n *narWriter) file(path string, info os.FileInfo) error {
	n.str("regular")
	if info.Mode().Perm()&0o100 != 0 {
		n.str("executable")
		n.str("")
	}
	n.str("contents")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n.num(uint64(info.Size()))
	if n.err != nil {
		return n.err
	}
	copied, err := io.Copy(n.w, f)
	if err != nil {
		return err
	}
	if copied != info.Size() {
		return fmt.Errorf("%s changed while it was read", path)
	}
	n.pad(copied)
	return n.err
}

func (n *narWriter) folder(path string) error {
	n.str("directory")
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, e := range entries {
		n.str("entry")
		n.str("(")
		n.str("name")
		n.str(e.Name())
		n.str("node")
		if err := n.node(filepath.Join(path, e.Name())); err != nil {
			return err
		}
		n.str(")")
	}
	return n.err
}

func (n *narWriter) str(s string) {
	n.num(uint64(len(s)))
	n.bytes([]byte(s))
	n.pad(int64(len(s)))
}

func (n *narWriter) num(v uint64) { n.bytes(binary.LittleEndian.AppendUint64(nil, v)) }

func (n *narWriter) pad(size int64) {
	if rest := size % 8; rest != 0 {
		n.bytes(make([]byte, 8-rest))
	}
}

func (n *narWriter) bytes(b []byte) {
	if n.err == nil {
		_, n.err = n.w.Write(b)
	}
}
