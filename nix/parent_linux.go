package nix

import "syscall"

// endWithParent ends nix when this process dies without having ended it, as at
// the second Ctrl-C.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGTERM }
