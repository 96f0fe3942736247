package remote

import "strings"

// Explanation is what a text on the wire means to a person.
type Explanation struct {
	Means string // what happened
	Next  string // what to do
}

// Explain looks for the texts that hosts, sudo and nix are known to print, in
// an error or in the end of a command's output. The first entry that fits
// wins; ok is false where none does, and then the text itself is shown alone.
func Explain(text string) (e Explanation, ok bool) {
	for _, k := range knownTexts() {
		for _, all := range k.any {
			if containsAll(text, all) {
				return k.Explanation, true
			}
		}
	}
	return Explanation{}, false
}

type knownText struct {
	any [][]string // one of these, each with all of its parts
	Explanation
}

// knownTexts is the one table of known mistakes: texts as seen on NixOS hosts
// with nix 2.26, sudo, sudo-rs and switch-to-configuration-ng.
func knownTexts() []knownText {
	return []knownText{
		{[][]string{{"lacks a signature by a trusted key"}, {"lacks a valid signature"}}, Explanation{
			"the host does not know the nix key that signed these paths",
			"an operator whose nix_key the host's release lists has to deploy yours first; see who: nixmesh show operators"}},
		{[][]string{{"Could not acquire lock"}}, Explanation{
			"another switch runs on the host",
			"wait for it; who holds the lock: nixmesh exec --on HOST -- lslocks"}},
		{[][]string{{"sudo: a password is required"}, {"sudo: a terminal is required"}, {"sudo-rs: interactive authentication is required"}, {"Authentication required", "sudo"}}, Explanation{
			"the login user may not run nixmesh-host by sudo",
			"the rule is: deploy ALL=(root) NOPASSWD: /run/current-system/sw/bin/nixmesh-host; a host without nixmesh is first reached with: nixmesh deploy --first HOST"}},
		{[][]string{{"is not in the sudoers"}, {"is not allowed to run sudo"}, {"is not allowed to execute"}}, Explanation{
			"the login user has no sudo rule for nixmesh-host",
			"deploy once as root: nixmesh deploy --first HOST --as root"}},
		{[][]string{{"No space left on device", "/boot"}}, Explanation{
			"the boot partition is full",
			"lower boot.loader.systemd-boot.configurationLimit (or GRUB's) for this host, or delete old generations on it"}},
		{[][]string{{"No space left on device"}, {"disk full"}}, Explanation{
			"the host's disk is full",
			"free space there: nix-collect-garbage keeps what nixmesh's releases need"}},
		{[][]string{{"switchInhibitors"}}, Explanation{
			"the new system cannot be switched to while the host runs: it needs a reboot",
			"nixmesh plan shows which component changed"}},
		{[][]string{{"experimental Nix feature"}}, Explanation{
			"the nix on the other side does not have a feature on",
			"nixmesh passes its own features; is another program called nix first in PATH?"}},
		{[][]string{{"nix-daemon", "not found"}, {"nix-store", "not found"}, {"nix-daemon: No such file"}}, Explanation{
			"the host has no nix in the PATH of a non-interactive login",
			"is it NixOS, and is its login shell bash, zsh or fish from NixOS?"}},
		{[][]string{{"cannot connect to", "nix-daemon"}, {"cannot connect to socket at", "daemon-socket"}}, Explanation{
			"the nix daemon of the host does not answer",
			"look at it: nixmesh exec --on HOST -- systemctl status nix-daemon.socket nix-daemon.service"}},
		{[][]string{{"is not allowed to connect to the Nix daemon"}}, Explanation{
			"nix.settings.allowed-users of the host leaves the login user out",
			"nixmesh's module allows root, deploy and @wheel unless the host's own modules set it"}},
		{[][]string{{"don't know how to build these paths"}, {"is not valid", "/nix/store/"}}, Explanation{
			"a garbage collection removed a path on the host while it was being used",
			"run the same command again: the copy sends what is missing"}},
		{[][]string{{"This account is currently not available"}, {"nologin"}}, Explanation{
			"the login user has no shell",
			"users.users.<name>.shell of that host has to be a real shell"}},
		{[][]string{{"unexpected end-of-file"}, {"Connection closed by"}, {"Broken pipe"}, {"failed to start SSH connection"}}, Explanation{
			"the connection ended early; that says nothing about what the host did",
			"run the same command again: it reads the host's journal and goes on from there"}},
	}
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
