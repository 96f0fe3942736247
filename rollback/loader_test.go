package rollback

import "testing"

const (
	storeA = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-h1-1"
	storeB = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system-h1-2"
)

func TestLoaderDefault(t *testing.T) {
	entry := func(top string) string {
		return "title NixOS\nlinux /EFI/x\noptions init=" + top + "/init loglevel=4\n"
	}
	grub := func(set string) string {
		return "set default=" + set + "\nif [ \"${next_entry}\" ]; then\n  set default=\"${next_entry}\"\nfi\n" +
			"menuentry \"NixOS\" --class nixos {\n  linux ($drive1)/k init=" + storeB + "/init loglevel=4\n}\n" +
			"submenu \"NixOS - All configurations\" {\nmenuentry \"1\" {\n  linux /k init=" + storeA + "/init\n}\n}\n"
	}
	cases := []struct {
		name, want string
		files      map[string]string
	}{
		{"systemd-boot names an entry", storeB, map[string]string{"/boot/loader/loader.conf": "timeout 5\ndefault nixos-generation-2.conf\n",
			"/boot/loader/entries/nixos-generation-1.conf": entry(storeA), "/boot/loader/entries/nixos-generation-2.conf": entry(storeB)}},
		{"systemd-boot names a pattern, newest boots", storeB, map[string]string{"/boot/loader/loader.conf": "default nixos-generation-*\n",
			"/boot/loader/entries/nixos-generation-9.conf": entry(storeA), "/boot/loader/entries/nixos-generation-10.conf": entry(storeB)}},
		{"boot counting", storeB, map[string]string{"/boot/loader/loader.conf": "default nixos-generation-2*.conf\n",
			"/boot/loader/entries/nixos-generation-2+3.conf": entry(storeB)}},
		{"separate partition for entries", storeA, map[string]string{"/efi/loader/loader.conf": "default nixos-generation-1.conf\n",
			"/boot/loader/entries/nixos-generation-1.conf": entry(storeA)}},
		{"saved default is not known", "", map[string]string{"/boot/loader/loader.conf": "default @saved\n"}},
		{"entry is missing", "", map[string]string{"/boot/loader/loader.conf": "default nixos-generation-3.conf\n"}},
		{"EFI variable wins", storeA, map[string]string{"/boot/loader/loader.conf": "default nixos-generation-2.conf\n",
			efiDefault:                          "\x07\x00\x00\x00n\x00i\x00x\x00o\x00s\x00-\x001\x00.\x00c\x00o\x00n\x00f\x00\x00\x00",
			"/boot/loader/entries/nixos-1.conf": entry(storeA), "/boot/loader/entries/nixos-generation-2.conf": entry(storeB)}},
		{"grub", storeB, map[string]string{"/boot/grub/grub.cfg": grub("0")}},
		{"grub quoted", storeB, map[string]string{"/boot/grub/grub.cfg": grub("\"0\"")}},
		{"grub saved", "", map[string]string{"/boot/grub/grub.cfg": grub("saved")}},
		{"grub submenu", "", map[string]string{"/boot/grub/grub.cfg": grub("1")}},
		{"extlinux", storeA, map[string]string{"/boot/extlinux/extlinux.conf": "DEFAULT nixos-default\nLABEL nixos-default\n  APPEND init=" + storeA + "/init quiet\nLABEL nixos-2-default\n  APPEND init=" + storeB + "/init\n"}},
		{"none", "", nil},
	}
	for _, c := range cases {
		d := newSimDisk()
		for name, text := range c.files {
			d.put(name, text)
		}
		if _, got := (&helper{Env: Env{Files: d}}).loaderDefault(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
