//go:build !linux

package nix

import "syscall"

// endWithParent does nothing: only Linux has such a signal.
func endWithParent(*syscall.SysProcAttr) {}
