package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	baseSuite = "trixie"
	// baseRecipe is raised when the image changes without its packages.
	baseRecipe = "1"
)

// basePackages are what the image has beyond Debian's minimum: what a host
// needs to boot and be reached, nix for both sides, and the two servers of
// the shop.
func basePackages() []string {
	return []string{
		"systemd", "systemd-sysv", "dbus", "openssh-server", "nix-bin", "nftables", "iproute2",
		"busybox-static", "procps", "curl", "sudo", "ca-certificates", "e2fsprogs",
		"libdbi-perl", // for nix-bin: debootstrap follows no virtual packages
		"postgresql-17", "redis-server",
	}
}

// baseName is the cache folder's name: it changes with the recipe.
func baseName() string {
	sum := sha256.Sum256([]byte(baseRecipe + " " + baseSuite + " " + strings.Join(basePackages(), " ")))
	return "base-" + hex.EncodeToString(sum[:6])
}

// base returns the base image's root folder and builds it when it is missing.
// That takes a minute and needs Debian's package mirror: debootstrap's own
// default, or NIXMESH_DEBIAN_MIRROR.
func (c *cache) base(ctx context.Context) (string, error) {
	return c.make(ctx, baseName(), func(ctx context.Context, dir string) error {
		tool, err := c.debootstrap(ctx)
		if err != nil {
			return err
		}
		c.log("base image: Debian " + baseSuite + " into " + c.path(baseName()) + ", once, about a minute")
		args := []string{"--variant=minbase", "--foreign", "--include=" + strings.Join(basePackages(), ","), baseSuite, dir}
		if mirror := os.Getenv("NIXMESH_DEBIAN_MIRROR"); mirror != "" {
			args = append(args, mirror)
		}
		if err := c.run(exec.CommandContext(ctx, tool, args...), "unpack base image"); err != nil {
			return err
		}
		if err := prepareConfigure(dir); err != nil {
			return fmt.Errorf("prepare base image: %w", err)
		}
		// nix-bin configures only with /proc mounted; --proc gives it one.
		cmd := stageCommand(ctx, stageConfigure, dir)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1", "LC_ALL=C",
			"PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		if err := c.run(cmd, "configure base image"); err != nil {
			return err
		}
		if out, err := output(exec.CommandContext(ctx, "chroot", dir, "dpkg", "--audit")); err != nil {
			return fmt.Errorf("check base image: %w", err)
		} else if out != "" {
			return fmt.Errorf("check base image: packages are left unconfigured\n%s", out)
		}
		if err := finishBase(dir); err != nil {
			return fmt.Errorf("finish base image: %w", err)
		}
		return nil
	})
}

// debootstrap finds the program, or installs it where apt-get can.
func (c *cache) debootstrap(ctx context.Context) (string, error) {
	const name = "debootstrap"
	path := func() string {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
			if p := filepath.Join(dir, name); isExecutable(p) {
				return p
			}
		}
		return ""
	}
	if p := path(); p != "" {
		return p, nil
	}
	if err := c.install(ctx, name); err != nil {
		return "", err
	}
	if p := path(); p != "" {
		return p, nil
	}
	return "", fmt.Errorf("%w: apt-get installed no debootstrap", ErrUnsupported)
}

// install installs a package of Debian where apt-get can.
func (c *cache) install(ctx context.Context, name string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("%w: %s is missing; install it (NixOS: nix shell nixpkgs#%[2]s; Fedora: dnf install %[2]s) and run this again", ErrUnsupported, name)
	}
	c.log("installing " + name + " from Debian's packages")
	for _, args := range [][]string{{"update", "-q"}, {"install", "-y", "-q", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := c.run(cmd, "install "+name); err != nil {
			return err
		}
	}
	return nil
}

// run runs a long command, shows its milestones and keeps its last words for
// the error.
func (c *cache) run(cmd *exec.Cmd, what string) error {
	// An orphan would go on writing into a folder that the next run clears.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	tail := make(chan []string, 1)
	go func() {
		var last []string
		for lines := bufio.NewScanner(r); lines.Scan(); {
			line := lines.Text()
			if last = append(last, line); len(last) > 15 {
				last = last[1:]
			}
			if milestone(line) {
				c.log("  " + strings.TrimPrefix(line, "I: "))
			}
		}
		_, _ = io.Copy(io.Discard, r) // a line too long for the scanner
		tail <- last
	}()
	err := cmd.Run()
	_ = w.Close() // never fails
	last := <-tail
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, strings.Join(last, "\n"))
	}
	return nil
}

// milestone picks the few lines of debootstrap that tell how far it is.
func milestone(line string) bool {
	for _, s := range []string{"Resolving dependencies", "Extracting base-files", "Installing core", "Configuring required", "Unpacking the base", "Configuring the base", "Base system installed"} {
		if strings.Contains(line, s) {
			return true
		}
	}
	return false
}

// prepareConfigure keeps packages from starting servers or making databases.
func prepareConfigure(root string) error {
	return errors.Join(
		writeFile(filepath.Join(root, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", 0o755),
		writeFile(filepath.Join(root, "etc/postgresql-common/createcluster.conf"), "create_main_cluster = false\n", 0o644),
	)
}

// finishBase removes what makes hosts alike that must differ, everything that
// Debian would start by itself, and what no host reads.
func finishBase(root string) error {
	var err error
	for _, pattern := range []string{
		"etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/resolv.conf", "etc/ssh/ssh_host_*",
		"etc/systemd/system/*", "etc/systemd/user/*", "etc/rc?.d/*", "etc/cron.*/*", "usr/sbin/policy-rc.d",
		"var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt", "debootstrap",
		"usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*",
	} {
		paths, globErr := filepath.Glob(filepath.Join(root, pattern))
		err = errors.Join(err, globErr)
		for _, p := range paths {
			err = errors.Join(err, os.RemoveAll(p))
		}
	}
	for _, dir := range []string{"nix", "boot", "etc/nix"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	return err
}

func isExecutable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// writeFile writes a file and the folders above it.
func writeFile(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}
