package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// view is how the base image's programs run on the operator's side: the
// image's /usr and /etc, the lab's own /nix, and everything else of the
// machine at its own path. It lives in a mount namespace of the one process
// that uses it: nothing is mounted before and nothing is left after.
type view struct {
	base, store, mountpoint string
	binds                   []string // paths that must be visible even below /usr and the like
	settings                string   // nix.conf
	cacheHome               string   // nix's own cache of fetches and evaluations
}

// ownDirs are the folders of the root that come from the image, not from the
// machine.
func ownDirs() []string {
	return []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "boot", "lost+found"}
}

// command runs argv in the view with this environment; argv[0] is the name of
// a program of the image. Its context ends it: first by SIGTERM, so that nix
// can stop its builders.
func (v *view) command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	args := append([]string{v.base, v.store, v.mountpoint, strings.Join(v.binds, ":")}, argv...)
	cmd := stageCommand(ctx, stageEnter, args...)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if env == nil {
		env = os.Environ()
	}
	env = slices.Clone(env)
	settings := v.settings
	for _, e := range env {
		if own, ok := strings.CutPrefix(e, "NIX_CONFIG="); ok {
			settings += own + "\n" // later lines win
		}
	}
	cmd.Env = append([]string{"NIX_CACHE_HOME=" + v.cacheHome}, append(env, "NIX_CONFIG="+settings, "NIX_REMOTE=local")...)
	return cmd
}

// enterStage builds the view in its own mount namespace and becomes the
// program.
func enterStage(args []string) error {
	if len(args) < 5 {
		return fmt.Errorf("want BASE STORE MOUNTPOINT BINDS PROGRAM [ARGS]")
	}
	base, store, at, argv := args[0], args[1], args[2], args[4:]
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return fmt.Errorf("read root: %w", err)
	}
	root := filepath.Join(at, "root")
	var m mounts
	m.private()
	m.mount("tmpfs", at, "tmpfs", 0, "mode=0755")
	for _, d := range []string{"up", "work"} {
		if m.err == nil {
			m.err = os.Mkdir(filepath.Join(at, d), 0o755)
		}
	}
	m.mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/up,workdir=%s/work", base, at, at))
	for _, e := range entries {
		target := filepath.Join(root, e.Name())
		if slices.Contains(ownDirs(), e.Name()) {
			continue
		}
		switch {
		case e.IsDir():
			m.bind("/"+e.Name(), target)
		case e.Type() == os.ModeSymlink:
			m.copyLink("/"+e.Name(), target)
		}
	}
	m.bind(store, filepath.Join(root, "nix"))
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if _, err := os.Stat(name); err == nil {
			_ = os.Remove(filepath.Join(root, name))
			m.bind(name, filepath.Join(root, name))
		}
	}
	for _, path := range append(strings.Split(args[3], ":"), self, dir) {
		if hiddenByView(path) {
			m.bind(path, filepath.Join(root, path))
		}
	}
	if m.err != nil {
		return m.err
	}
	return execIn(root, dir, programPath(base, argv[0]), argv, os.Environ())
}

// hiddenByView says whether a path of the machine exists and lies in a folder
// that the image replaces.
func hiddenByView(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	top, rest, _ := strings.Cut(path[1:], "/")
	if rest == "" || !slices.Contains(ownDirs(), top) {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// programPath finds a program of the image by name.
func programPath(base, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		if isExecutable(filepath.Join(base, dir, name)) {
			return filepath.Join(dir, name)
		}
	}
	return "/usr/bin/" + name
}
