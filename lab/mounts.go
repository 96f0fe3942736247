package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mounts does one mount after the other until the first failure, which stays
// in err. Folders to mount on are made.
type mounts struct{ err error }

// private keeps what follows out of the namespace that this one was copied
// from.
func (m *mounts) private() { m.flags("/", unix.MS_REC|unix.MS_PRIVATE) }

// mount mounts a file system.
func (m *mounts) mount(source, target, kind string, flags uintptr, data string) {
	if m.err != nil {
		return
	}
	if m.err = os.MkdirAll(target, 0o755); m.err != nil {
		return
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		m.err = fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
}

// bind shows a file or folder at another path, with what is mounted below it.
func (m *mounts) bind(source, target string) {
	if m.err != nil {
		return
	}
	st, err := os.Stat(source)
	if err != nil {
		m.err = fmt.Errorf("bind: %w", err)
		return
	}
	if st.IsDir() {
		m.err = os.MkdirAll(target, 0o755)
	} else {
		m.touch(target)
	}
	if m.err != nil {
		return
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		m.err = fmt.Errorf("bind %s on %s: %w", source, target, err)
	}
}

// readonly makes one bind mount read-only.
func (m *mounts) readonly(target string) {
	m.flags(target, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY)
}

func (m *mounts) flags(target string, flags uintptr) {
	if m.err != nil {
		return
	}
	if err := unix.Mount("", target, "", flags, ""); err != nil {
		m.err = fmt.Errorf("change mount of %s: %w", target, err)
	}
}

// touch makes an empty file to mount on, unless something is there.
func (m *mounts) touch(path string) {
	if m.err != nil {
		return
	}
	if _, err := os.Lstat(path); err == nil {
		return
	}
	if m.err = os.MkdirAll(filepath.Dir(path), 0o755); m.err == nil {
		m.err = os.WriteFile(path, nil, 0o644)
	}
}

func (m *mounts) symlink(target, path string) {
	if m.err == nil {
		m.err = os.Symlink(target, path)
	}
}

// copyLink makes the same symbolic link, in the place of what is there.
func (m *mounts) copyLink(path, copied string) {
	if m.err != nil {
		return
	}
	target, err := os.Readlink(path)
	if err != nil {
		m.err = err
		return
	}
	_ = os.RemoveAll(copied) // an empty folder of the image
	m.symlink(target, copied)
}
