package api

import (
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"unsafe"
)

// soPeerGroups is SO_PEERGROUPS of Linux, which package syscall lacks: the
// supplementary groups of the process that connected.
const soPeerGroups = 59

// maxGroups is what a Linux process may be in, at most.
const maxGroups = 1 << 16

// caller is who connected, and what lets it write.
type caller struct {
	Peer
	groups []uint32 // supplementary ones
	known  bool     // false where connections have no credentials: TCP
}

// callerOf asks the kernel who connected.
func callerOf(c net.Conn) (caller, error) {
	unix, ok := c.(*net.UnixConn)
	if !ok {
		return caller{}, nil
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return caller{}, fmt.Errorf("read credentials: %w", err)
	}
	who := caller{known: true}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *syscall.Ucred
		if cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); failed != nil {
			return
		}
		who.Peer = Peer{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
		who.groups, failed = peerGroups(fd)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return caller{}, fmt.Errorf("read credentials: %w", err)
	}
	return who, nil
}

// peerGroups asks twice where the first buffer is too small: the kernel then
// says how large it has to be.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		n := int(size / 4)
		switch {
		case errno == 0:
			return groups[:min(n, len(groups))], nil
		case errno == syscall.ERANGE && n > len(groups) && n <= maxGroups:
			groups = make([]uint32, n)
		default:
			return nil, errno
		}
	}
}

// mayWrite says whether the caller is root or of the group that the socket at
// path belongs to. The file's mode is asked each time: it is what a person sees
// and changes.
func (c caller) mayWrite(path string) error {
	if !c.known {
		return fmt.Errorf("nothing can be changed over the network")
	}
	if c.UID == 0 {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the socket: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("look at the socket: no group")
	}
	if c.GID == stat.Gid || slices.Contains(c.groups, stat.Gid) {
		return nil
	}
	return fmt.Errorf("only root and members of the group of %s (gid %d) may change something; this is uid %d", path, stat.Gid, c.UID)
}
