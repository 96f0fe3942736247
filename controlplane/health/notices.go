package health

import (
	"fmt"
	"os"
	"syscall"
)

// notices are the kernel's: a process came or went in a cgroup, a cgroup was
// made. What happened is not read from them, they only say that it is time to
// look. Zero gives none.
type notices struct {
	file   *os.File
	fd     int    // the file's; asking the file for it would make reads block
	buffer []byte // of the one who waits
}

// openNotices asks the kernel for them.
func openNotices() (notices, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return notices{}, fmt.Errorf("watch cgroups: %w", err)
	}
	return notices{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, buffer: make([]byte, 16<<10)}, nil
}

// written asks for a notice when a file changes; asking again changes nothing.
// A file that has gone makes none, and a look each second needs none.
func (n notices) written(file string) {
	if n.file != nil {
		_, _ = syscall.InotifyAddWatch(n.fd, file, syscall.IN_MODIFY)
	}
}

// made asks for a notice when something is made in a folder.
func (n notices) made(folder string) {
	if n.file != nil {
		_, _ = syscall.InotifyAddWatch(n.fd, folder, syscall.IN_CREATE|syscall.IN_ONLYDIR)
	}
}

// wait returns after some notices came, or with an error after close.
func (n notices) wait() error {
	_, err := n.file.Read(n.buffer)
	return err
}

func (n notices) close() {
	if n.file != nil {
		_ = n.file.Close() // nothing was written
	}
}
