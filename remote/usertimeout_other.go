//go:build !linux

package remote

import "syscall"

// setUserTimeout does nothing: keep-alives alone find a dead connection here.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
