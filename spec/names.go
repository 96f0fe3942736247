package spec

import (
	"path"
	"strings"
)

const nameRule = "names are lower-case letters, digits and dashes, begin with a letter, and have at most 31 characters"

// isName holds the rule for names of blocks, tags and listens.
func isName(name string) bool {
	for i, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != "" && len(name) <= 31
}

// isVariable holds the rule for names of environment variables.
func isVariable(name string) bool { return name != "" && variableLength(name) == len(name) }

// variableLength is how much of the start of a text is the name of a variable.
func variableLength(text string) int {
	for i, c := range []byte(text) {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(text)
}

// reservedUnits are names of units that NixOS, systemd or nixmesh own, as
// patterns of path.Match. A service with a package makes NAME.service, so these
// would be overwritten.
func reservedUnits() []string {
	return []string{
		"nixmesh*", "envoy", "sshd", "sshd-*", "systemd-*", "dbus", "dbus-broker", "polkit", "nix-daemon", "nix-gc", "nix-optimise",
		"nscd", "nsncd", "cron", "firewall", "nftables", "network", "network-*", "networkmanager", "networking", "resolvconf", "rsyslog",
		"getty", "autovt", "emergency", "rescue", "logrotate*", "lvm2-*", "mdadm", "mdmonitor", "zfs-*", "kmod", "kmod-*",
		"modprobe", "nixos-*", "post-boot", "prepare-kexec", "reload-systemd-vconsole-setup", "save-hwclock", "serial-getty",
		"suid-sgid-wrappers", "user", "user-runtime-dir", "initrd-*", "linger-users", "local-fs", "container", "container-getty",
		"chronyd", "ntpd", "auditd", "acpid", "nginx", "postgresql", "redis", "docker", "podman", "libvirtd", "caddy", "haproxy", "fail2ban",
	}
}

// isReserved says which rule refuses a service's name, "" for none.
func isReserved(name string) bool {
	for _, pattern := range reservedUnits() {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// variableOf is a listen's name as it stands in PORT_<NAME>.
func variableOf(listen string) string {
	return strings.ToUpper(strings.ReplaceAll(listen, "-", "_"))
}
