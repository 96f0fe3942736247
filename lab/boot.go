package lab

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// bootConfig is what a starting host reads from descriptor 3.
type bootConfig struct {
	Name     string
	Root     string // its root file system, mounted
	Boot     string // its /boot, mounted
	Console  string // its terminal
	Address  netip.Addr
	Networks []netip.Prefix
}

const (
	configFD = 3 // the first of exec.Cmd's ExtraFiles
	// containerName tells systemd and programs what they run in.
	containerName = "nixmesh-lab"
)

// bootStage is what firmware and loader are for a machine. It is process 1 of
// the host's namespaces, and becomes the init of the system that /boot names.
func bootStage([]string) error {
	pipe := os.NewFile(configFD, "config")
	var c bootConfig
	if err := json.NewDecoder(pipe).Decode(&c); err != nil {
		return fmt.Errorf("read boot configuration: %w", err)
	}
	pipe.Close()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("leave cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := addressHost(c.Root, c); err != nil {
		return fmt.Errorf("set up network: %w", err)
	}
	if err := mountHost(c); err != nil {
		return err
	}
	system, err := defaultSystem("/boot")
	if err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	init := system + "/init"
	env := []string{"container=" + containerName, "TERM=dumb", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	fmt.Printf("loader: booting %s\n", system)
	if err := unix.Exec(init, []string{init}, env); err != nil {
		return fmt.Errorf("boot %s: %w", init, err)
	}
	return nil
}

// mountHost makes the host's root the root of this mount namespace.
func mountHost(c bootConfig) error {
	in := func(p string) string { return filepath.Join(c.Root, p) }
	var m mounts
	m.private()
	m.mount("proc", in("proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.mount("sysfs", in("sys"), "sysfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.mount("cgroup2", in("sys/fs/cgroup"), "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.mount("tmpfs", in("run"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	m.bind(c.Boot, in("boot"))
	mountDevices(&m, in)
	m.bind(c.Console, in("dev/console"))
	// Writable, they would be the whole machine's: a host's systemd-sysctl
	// sets what it finds.
	bootID, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return fmt.Errorf("make boot id: %w", err)
	}
	if m.err == nil {
		m.err = writeFile(in("run/boot_id"), string(bootID), 0o444)
	}
	m.bind(in("proc/sys"), in("proc/sys"))
	m.readonly(in("proc/sys"))
	m.bind(in("run/boot_id"), in("proc/sys/kernel/random/boot_id"))
	if m.err == nil {
		m.err = os.Remove(in("run/boot_id")) // the mount holds the file
	}
	if m.err != nil {
		return m.err
	}
	if err := os.Chdir(c.Root); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	// Not shared, LoadCredential silently gives services an empty folder.
	m.flags("/", unix.MS_REC|unix.MS_SHARED)
	return m.err
}

// mountDevices gives a host the few devices that need no hardware.
func mountDevices(m *mounts, in func(string) string) {
	m.mount("tmpfs", in("dev"), "tmpfs", unix.MS_NOSUID, "mode=0755")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		m.bind("/dev/"+name, in("dev/"+name))
	}
	m.mount("devpts", in("dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
	m.mount("tmpfs", in("dev/shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "")
	for path, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		m.symlink(target, in("dev/"+path))
	}
}

// defaultSystem reads what a boot loader of the systemd-boot kind would boot:
// the entry that loader.conf names, and the system in its init= option.
func defaultSystem(boot string) (string, error) {
	conf, err := os.ReadFile(filepath.Join(boot, "loader/loader.conf"))
	if err != nil {
		return "", fmt.Errorf("read loader: %w", err)
	}
	pattern := loaderValue(string(conf), "default")
	if pattern == "" {
		return "", fmt.Errorf("read loader: loader.conf has no default")
	}
	entries, err := filepath.Glob(filepath.Join(boot, "loader/entries/*.conf"))
	if err != nil {
		return "", fmt.Errorf("read loader: %w", err)
	}
	slices.Sort(entries)
	for _, entry := range slices.Backward(entries) {
		id := filepath.Base(entry)
		whole, _ := path.Match(pattern, id)
		stem, _ := path.Match(pattern, strings.TrimSuffix(id, ".conf"))
		if !whole && !stem {
			continue
		}
		text, err := os.ReadFile(entry)
		if err != nil {
			return "", fmt.Errorf("read loader: %w", err)
		}
		for _, option := range strings.Fields(loaderValue(string(text), "options")) {
			if init, ok := strings.CutPrefix(option, "init="); ok {
				return strings.TrimSuffix(init, "/init"), nil
			}
		}
		return "", fmt.Errorf("read loader: entry %s has no init= option", id)
	}
	return "", fmt.Errorf("read loader: no entry matches the default %q", pattern)
}

// loaderValue is the value of a key in a loader's file: `key value` lines.
func loaderValue(text, key string) string {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == key {
			return strings.Join(words[1:], " ")
		}
	}
	return ""
}
