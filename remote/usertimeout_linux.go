package remote

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT of Linux.
const tcpUserTimeout = 0x12

// setUserTimeout makes the kernel give up on bytes that nobody acknowledges
// when keep-alives would: a write to a dead host fails instead of filling
// buffers for 15 minutes.
func setUserTimeout(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout,
			int((KeepAliveMissing * KeepAliveEvery).Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
