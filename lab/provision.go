package lab

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// hostDisk is disk.json beside a host's images: the read-only folders that its
// disk lies over. They must not change below it.
type hostDisk struct {
	Lower []string // the first one is on top
}

const hostDiskFile = "disk.json"

func (d *hostDisk) read(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, hostDiskFile))
	if err != nil {
		return fmt.Errorf("read disk: %w", err)
	}
	if err := json.Unmarshal(text, d); err != nil {
		return fmt.Errorf("read disk: %w", err)
	}
	return nil
}

// make gives a host its disks: what an installer leaves on a machine. The
// file disk.json is written last and says that all of it is there.
func (h *host) make(s *supervisor, spec newHost) error {
	if err := os.RemoveAll(h.dir); err != nil {
		return fmt.Errorf("clear disk: %w", err)
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	for _, name := range []string{diskImage, bootImage} {
		if err := copySparse(filepath.Join(s.Images, name), h.path(name)); err != nil {
			return err
		}
	}
	if err := h.mountDisks(h.dir); err != nil {
		return err
	}
	if err := h.install(spec); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	text, err := json.Marshal(hostDisk{Lower: []string{spec.Seed.Dir, spec.Envoy, s.Base}})
	if err != nil {
		return fmt.Errorf("write disk: %w", err)
	}
	if err := os.WriteFile(h.path(hostDiskFile), text, 0o600); err != nil {
		return fmt.Errorf("write disk: %w", err)
	}
	return nil
}

// install writes the few files in which hosts differ, and makes the seed the
// system that is installed and booted.
func (h *host) install(spec newHost) error {
	if err := os.Mkdir(h.path("disk/work"), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(h.path("disk"), 0o755); err != nil {
		return err
	}
	hostKey, err := os.ReadFile(spec.HostKey)
	if err != nil {
		return err
	}
	publicKey, err := os.ReadFile(spec.HostKey + ".pub")
	if err != nil {
		return err
	}
	var machineID [16]byte
	rand.Read(machineID[:])
	system := spec.Seed.Toplevel
	for _, f := range []struct {
		path string
		mode os.FileMode
		text string
	}{
		{"disk/upper/etc/hostname", 0o644, h.Name + "\n"},
		{"disk/upper/etc/machine-id", 0o444, hex.EncodeToString(machineID[:]) + "\n"},
		{"disk/upper/etc/ssh/ssh_host_ed25519_key", 0o600, string(hostKey)},
		{"disk/upper/etc/ssh/ssh_host_ed25519_key.pub", 0o644, string(publicKey)},
		{"disk/upper/etc/nixmesh-lab/authorized_keys", 0o644, spec.RootKeys}, // read by module.nix's sshd
		{"disk/upper/etc/.updated", 0o644, ""},                               // else the first boot rebuilds caches that the image has
		{"disk/upper/var/.updated", 0o644, ""},
		{"boot/loader/loader.conf", 0o644, "timeout 0\ndefault nixos-generation-1.conf\n"},
		{"boot/loader/entries/nixos-generation-1.conf", 0o644, "title NixOS\nsort-key nixos\nversion Generation 1\nlinux /EFI/nixos/kernel.efi\noptions init=" + system + "/init\n"},
	} {
		if err := writeFile(h.path(f.path), f.text, f.mode); err != nil {
			return err
		}
	}
	profiles := h.path("disk/upper/nix/var/nix/profiles")
	if err := os.MkdirAll(profiles, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(system, filepath.Join(profiles, "system-1-link")); err != nil {
		return err
	}
	return os.Symlink("system-1-link", filepath.Join(profiles, "system"))
}
