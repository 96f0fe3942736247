package lab

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// console is a host's terminal: systemd writes to nothing else what goes wrong
// before its journal runs. What is written there goes to a file.
type console struct {
	line  *os.File // the host's end
	kept  chan struct{}
	file  *os.File
	other *os.File // the supervisor's end
}

// openConsole makes a terminal whose output is appended to a file.
func openConsole(path string) (*console, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open console: %w", err)
	}
	other, line, err := openTerminal()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open console: %w", err)
	}
	c := &console{line: line, kept: make(chan struct{}), file: file, other: other}
	go func() {
		defer close(c.kept)
		_, _ = io.Copy(file, other) // ends with an error when the host's end is closed everywhere
	}()
	return c, nil
}

// openTerminal makes a pair of pseudo-terminals that changes no byte.
func openTerminal() (other, line *os.File, err error) {
	other, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(other.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		other.Close()
		return nil, nil, err
	}
	mode, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
	if err == nil {
		mode.Oflag &^= unix.OPOST
		mode.Lflag &^= unix.ECHO
		err = unix.IoctlSetTermios(int(line.Fd()), unix.TCSETS, mode)
	}
	if err != nil {
		other.Close()
		line.Close()
		return nil, nil, err
	}
	return other, line, nil
}

// close waits until what the host wrote is in the file.
func (c *console) close() {
	c.line.Close()
	<-c.kept
	c.other.Close()
	c.file.Close()
}
