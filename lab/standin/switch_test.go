package standin

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/lab"
)

// host is a running host of the lab and what the test does on it.
type host struct {
	lab    *lab.Lab
	status lab.HostStatus
}

// run runs a shell command there: everything it said, and its exit code.
func (h *host) run(t *testing.T, command string) (string, int) {
	t.Helper()
	out, err := h.lab.SSH(t.Context(), h.status, []string{command}).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// install builds a variant, brings its closure and returns its toplevel.
func (h *host) install(t *testing.T, variant string) string {
	t.Helper()
	out, stderr, err := nix(t, h.lab, "nix", "build", "--impure", "--no-link", "--print-out-paths",
		"--file", path(t, "standin/testdata/switch.nix"), "--arg", "lab", path(t, "."), "--argstr", "variant", variant)
	if err != nil {
		t.Fatalf("build %s: %v\n%s", variant, err, stderr)
	}
	toplevel := strings.TrimSpace(out)
	closure, stderr, err := nix(t, h.lab, "nix-store", "-qR", toplevel)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	export := append([]string{"nix-store", "--export"}, strings.Fields(closure)...)
	archive, stderr, err := nix(t, h.lab, export...)
	if err != nil {
		t.Fatalf("export: %v\n%s", err, stderr)
	}
	load := h.lab.SSH(t.Context(), h.status, []string{"nix-store --import >/dev/null"})
	load.Stdin = bytes.NewReader([]byte(archive))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	return toplevel
}

// The contract of switch-to-configuration, as the real one keeps it.
func TestSwitch(t *testing.T) {
	address := netip.MustParseAddr("10.97.77.11")
	l := operator(t, lab.Host{Name: "sw1", Address: address})
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := l.Up(t.Context(), func(lab.Booted) {}); err != nil {
		t.Fatal(err)
	}
	statuses, err := l.Status(t.Context())
	if err != nil || len(statuses) != 1 {
		t.Fatal(statuses, err)
	}
	h := &host{l, statuses[0]}
	base := h.install(t, "base")
	installed := map[string]string{"base": base} // variant -> toplevel

	for _, step := range []struct {
		variant, prefix, action string
		code                    int
		says                    []string
		never                   []string
		then, answer            string // a command afterwards and its output
	}{
		{variant: "base", action: "nonsense", code: 1, says: []string{"Usage:"}},
		{variant: "base", action: "check", then: "readlink /run/current-system | grep -c " + base + "; systemctl is-active same", answer: "0\ninactive"},
		{variant: "base", action: "dry-activate", says: []string{"would activate the configuration..."}, never: []string{"new units"}},
		{variant: "base", action: "test", says: []string{"activating the configuration...", "setting up /etc...", "the following new units were started: ", "removed.service", "stopped.service"},
			then: "readlink /run/current-system /nix/var/nix/gcroots/current-system; cat /etc/demo/word; systemctl is-system-running", answer: base + "\n/run/current-system\n1running"},
		{variant: "base", action: "test", says: []string{"activating the configuration..."}, never: []string{"new units", "stopping", "starting", "restarting"}},
		{variant: "changed", action: "dry-activate", says: []string{
			"would stop the following units: removed.service, stopped.service\n", "would NOT stop the following changed units: left.service\n",
			"would reload the following units: reloaded.service\n", "would restart the following units: restarted.service\n", "would start the following units: stopped.service\n"},
			never: []string{"same.service", "new.service"}},
		{variant: "changed", action: "test", says: []string{
			"stopping the following units: removed.service, stopped.service\n", "NOT restarting the following changed units: left.service\n",
			"reloading the following units: reloaded.service\n", "restarting the following units: restarted.service\n", "starting the following units: stopped.service\n",
			"the following new units were started: new.service"},
			never: []string{"same.service", "restarted.socket"},
			then:  "ls /run/was-reloaded /run/nixos; systemctl is-active removed stopped", answer: "/run/was-reloaded\n\n/run/nixos:\nswitch-to-configuration.lock\ninactive\nactive"},
		{variant: "base", action: "test", says: []string{"stopping the following units: new.service, stopped.service\n"}},
		{variant: "fails", action: "test", code: 4, says: []string{"warning: the following units failed: bad.service\n", "Failed with result 'exit-code'"},
			then: "readlink /run/current-system | grep -c " + base, answer: "0"},
		{variant: "base", action: "test"},
		{variant: "crashes", action: "test", code: 4, says: []string{"warning: the following units failed: loop.service\n"}},
		{variant: "base", action: "test"},
		{variant: "unloadable", action: "test", then: "systemctl show -p LoadState --value two.service; systemctl is-system-running", answer: "bad-setting\nrunning"},
		{variant: "base", action: "test"},
		{variant: "activation", action: "test", code: 2, says: []string{"Activation script snippet 'wrong' failed"}, then: "readlink /run/current-system | grep -v " + base + " | wc -l", answer: "1"},
		{variant: "base", action: "test"},
		{variant: "refuses", action: "test", code: 1, says: []string{"not test\n", "Pre-switch check 'never' failed", "Pre-switch checks failed"}, then: "readlink /run/current-system", answer: base},
		{variant: "refuses", prefix: "NIXOS_NO_CHECK=1 ", action: "dry-activate", says: []string{"would activate"}},
		{variant: "interface", action: "test", code: 100, says: []string{"until you reboot the system"}, then: "readlink /run/current-system", answer: base},
		{variant: "base", prefix: "flock /run/nixos/switch-to-configuration.lock ", action: "dry-activate", code: 11, says: []string{"Could not acquire lock"}},
		{variant: "base", prefix: "nix-env -p /nix/var/nix/profiles/system --set " + base + "; ", action: "boot", never: []string{"activating"},
			then: "cat /boot/loader/loader.conf; grep -c init=" + base + "/init /boot/loader/entries/nixos-generation-2.conf", answer: "timeout 0\ndefault nixos-generation-2.conf\n1"},
		{variant: "changed", action: "boot", says: []string{"is no generation of /nix/var/nix/profiles/system"}, then: "grep default /boot/loader/loader.conf", answer: "default nixos-generation-2.conf"},
		// A full /boot leaves the default as it is.
		{variant: "changed", prefix: "rm -r /boot/EFI; dd if=/dev/zero of=/boot/fill bs=1M status=none; nix-env -p /nix/var/nix/profiles/system --set $(readlink -f $P); ",
			action: "boot", code: 1, says: []string{"No space left on device", "Failed to install bootloader"},
			then: "grep default /boot/loader/loader.conf; rm /boot/fill", answer: "default nixos-generation-2.conf"},
		{variant: "changed", action: "boot", then: "grep default /boot/loader/loader.conf", answer: "default nixos-generation-3.conf"},
		{variant: "changed", action: "switch", says: []string{"activating the configuration..."}, then: "readlink /run/current-system | grep -c " + base, answer: "0"},
	} {
		toplevel := installed[step.variant]
		if toplevel == "" {
			toplevel = h.install(t, step.variant)
			installed[step.variant] = toplevel
		}
		begin := time.Now()
		out, code := h.run(t, "P="+toplevel+"; "+step.prefix+toplevel+"/bin/switch-to-configuration "+step.action)
		t.Logf("%s %s: %s", step.action, step.variant, time.Since(begin).Round(10*time.Millisecond))
		if code != step.code {
			t.Errorf("%s %s: exit %d, want %d\n%s", step.action, step.variant, code, step.code, out)
		}
		for _, want := range step.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s %s does not say %q:\n%s", step.action, step.variant, want, out)
			}
		}
		for _, not := range step.never {
			if strings.Contains(out, not) {
				t.Errorf("%s %s says %q:\n%s", step.action, step.variant, not, out)
			}
		}
		if step.then != "" {
			if got, _ := h.run(t, step.then); strings.TrimSpace(got) != step.answer {
				t.Errorf("after %s %s: %s =\n%s\nwant\n%s", step.action, step.variant, step.then, got, step.answer)
			}
		}
	}
}
