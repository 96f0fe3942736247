package rollback

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Kinds of boot loaders whose default can be read.
const (
	loaderSystemdBoot = "systemd-boot"
	loaderGrub        = "grub"
	loaderExtlinux    = "extlinux"
)

// efiDefault overrides loader.conf where somebody chose an entry in the menu.
const efiDefault = "/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

var (
	bootFolders = []string{"/boot", "/efi", "/boot/efi"}
	initOption  = regexp.MustCompile(`(?:^|\s)init=(/nix/store/[^/\s]+)/init(?:\s|$)`)
	digits      = regexp.MustCompile(`[0-9]+`)
)

// loaderFolder is the folder that the loader's files are in, "" when unknown.
func (h *helper) loaderFolder() string {
	for _, d := range bootFolders {
		for _, f := range []string{"/loader/loader.conf", "/grub/grub.cfg", "/extlinux/extlinux.conf"} {
			if exists(h.Files, d+f) {
				return d
			}
		}
	}
	return ""
}

// loaderDefault is the kind of loader and the toplevel that boots next; ""
// where that cannot be told for sure.
func (h *helper) loaderDefault() (kind, toplevel string) {
	for _, d := range bootFolders {
		if b, err := h.Files.ReadFile(d + "/loader/loader.conf"); err == nil {
			return loaderSystemdBoot, h.systemdBootDefault(d, string(b))
		}
	}
	for _, d := range bootFolders {
		if b, err := h.Files.ReadFile(d + "/grub/grub.cfg"); err == nil {
			return loaderGrub, grubDefault(string(b))
		}
		if b, err := h.Files.ReadFile(d + "/extlinux/extlinux.conf"); err == nil {
			return loaderExtlinux, extlinuxDefault(string(b))
		}
	}
	return "", ""
}

// systemdBootDefault reads the entry that loader.conf, or the EFI variable
// above it, names. The name may be a pattern: the newest match boots.
func (h *helper) systemdBootDefault(dir, conf string) string {
	pattern := ""
	for _, line := range strings.Split(conf, "\n") {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "default" {
			pattern = f[1]
		}
	}
	if v := h.efiString(efiDefault); v != "" {
		pattern = v
	}
	if pattern == "" || strings.HasPrefix(pattern, "@") {
		return ""
	}
	entries := "/loader/entries"
	for _, d := range slices.Compact([]string{dir, "/boot"}) {
		names, err := h.Files.ReadDir(d + entries)
		if err != nil {
			continue
		}
		var found []string
		for _, n := range names {
			if n == pattern || n == pattern+".conf" {
				found = []string{n}
				break
			}
			if ok, _ := path.Match(pattern, n); ok && strings.HasSuffix(n, ".conf") {
				found = append(found, n)
			}
		}
		if len(found) > 0 {
			slices.SortFunc(found, func(a, b string) int { return entryNumber(a) - entryNumber(b) })
			return initOf(h.text(d + entries + "/" + found[len(found)-1]))
		}
	}
	return ""
}

// entryNumber is the last number in an entry's name: its generation.
func entryNumber(name string) int {
	base, _, _ := strings.Cut(name, "+") // boot counting appends +LEFT-DONE
	all := digits.FindAllString(base, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1])
	return n
}

// efiString is an EFI variable's UTF-16 text, after 4 bytes of attributes.
func (h *helper) efiString(name string) string {
	b, err := h.Files.ReadFile(name)
	if err != nil || len(b) < 6 {
		return ""
	}
	var units []uint16
	for i := 4; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

func initOf(text string) string {
	if m := initOption.FindStringSubmatch(strings.ReplaceAll(text, "\n", " ")); m != nil {
		return m[1]
	}
	return ""
}

var (
	grubSet   = regexp.MustCompile(`(?m)^\s*set default="?([^"\s]+)"?\s*$`)
	grubEntry = regexp.MustCompile(`(?m)^(menuentry|submenu)\b`)
)

// grubDefault reads grub.cfg as NixOS writes it: a number, and that entry's
// linux line. A saved default is in grub's environment and not known.
func grubDefault(cfg string) string {
	index := 0
	for _, m := range grubSet.FindAllStringSubmatch(cfg, -1) {
		if strings.HasPrefix(m[1], "$") {
			continue // "${next_entry}": the one-shot, which clears itself
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return ""
		}
		index = n
	}
	starts := grubEntry.FindAllStringIndex(cfg, -1)
	if index >= len(starts) {
		return ""
	}
	end := len(cfg)
	if index+1 < len(starts) {
		end = starts[index+1][0]
	}
	entry := cfg[starts[index][0]:end]
	if strings.HasPrefix(entry, "submenu") {
		return ""
	}
	return initOf(entry)
}

// extlinuxDefault reads extlinux.conf: DEFAULT names a LABEL, whose APPEND
// holds the kernel's parameters.
func extlinuxDefault(conf string) string {
	def, label := "", ""
	for _, line := range strings.Split(conf, "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch strings.ToUpper(f[0]) {
		case "DEFAULT":
			def = f[1]
		case "LABEL":
			label = f[1]
		case "APPEND":
			if label == def && def != "" {
				return initOf(line)
			}
		}
	}
	return ""
}
