package deploy

import (
	"slices"
	"strings"
	"testing"
)

// unitsText turns "FILE\nTEXT" blocks, parted by lines of "--", into what grep
// prints for a toplevel.
func unitsText(blocks string) []byte {
	var b strings.Builder
	for block := range strings.SplitSeq(blocks, "--\n") {
		file, text, _ := strings.Cut(block, "\n")
		for line := range strings.Lines(text) {
			b.WriteString("./" + file + "\x00" + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return []byte(b.String())
}

func TestDiffUnits(t *testing.T) {
	old := parseUnits(unitsText(`web.service
[Service]
ExecStart=/nix/store/a/web
--
api.service
[Service]
ExecStart=/nix/store/a/api
X-RestartIfChanged=false
--
guard.service
[Unit]
X-Reload-Triggers=one
--
quiet.service
[Unit]
Description=one
[Install]
WantedBy=a.target
--
gone.service
[Service]
ExecStart=x
--
stays.service
[Unit]
X-StopOnRemoval=false
--
drop.service
[Service]
ExecStart=x
--
in.socket
[Socket]
ListenStream=1
--
a.target.wants/web.service
[Service]
ExecStart=/nix/store/a/web
`))
	new := parseUnits(unitsText(`web.service
[Service]
ExecStart=/nix/store/b/web
--
api.service
[Service]
ExecStart=/nix/store/b/api
X-RestartIfChanged=false
--
guard.service
[Unit]
X-Reload-Triggers=two
--
quiet.service
[Unit]
Description=two
--
fresh.service
[Service]
ExecStart=x
--
tmpl@.service
[Service]
ExecStart=x
--
drop.service
[Service]
ExecStart=x
--
drop.service.d/overrides.conf
[Service]
MemoryMax=1
--
in.socket
[Socket]
ListenStream=2
`))
	got := diffUnits(old, new)
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"start", got.Start, []string{"fresh.service"}},
		{"restart", got.Restart, []string{"drop.service", "web.service"}},
		{"reload", got.Reload, []string{"guard.service"}},
		{"stop", got.Stop, []string{"gone.service"}},
		{"unseen", got.Unseen, []string{"api.service", "in.socket"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestDiffClosures(t *testing.T) {
	const h = "/nix/store/00000000000000000000000000000000-"
	changes, added, delta := diffClosures(
		[]PathSize{{h + "shop-api-1.8.2", 10}, {h + "glibc-2.40-bin", 5}, {h + "unit-web.service", 1}, {h + "old-1.0", 3}},
		[]PathSize{{h + "shop-api-1.8.3", 12}, {h + "glibc-2.40-bin", 5}, {h + "unit-web.service", 1}, {h + "new-tool-2", 4}})
	if added != 16 || delta != 3 {
		t.Errorf("added %d delta %d", added, delta)
	}
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.Name+" "+strings.Join(c.Old, ",")+">"+strings.Join(c.New, ","))
	}
	want := []string{"new-tool >2", "old 1.0>", "shop-api 1.8.2>1.8.3"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestParsePathInfo(t *testing.T) {
	for _, text := range []string{
		`[{"path":"/nix/store/x","narHash":"sha256-a","narSize":7,"references":["/nix/store/y"]}]`,
		`{"/nix/store/x":{"narHash":"sha256-a","narSize":7,"references":["/nix/store/y"]}}`,
	} {
		i, err := parsePathInfo([]byte(text), "/nix/store/x")
		if err != nil || i.NarSize != 7 || i.References[0] != "/nix/store/y" {
			t.Errorf("%s: %+v %v", text, i, err)
		}
	}
	if _, err := parsePathInfo([]byte(`{"/nix/store/x":null}`), "/nix/store/x"); err == nil {
		t.Error("an invalid path has an info")
	}
}

// What systemd stops with a unit that goes is told, though no file of it changed.
func TestDiffUnitsStopsWhatRequires(t *testing.T) {
	kept := `web.service
[Service]
ExecStart=x
--
behind.service
[Unit]
BindsTo=first.service web.service
--
api.service
[Service]
ExecStart=x
--
`
	old := parseUnits(unitsText(kept + `guard.service
[Service]
ExecStart=x
--
web.service.requires/guard.service
[Service]
ExecStart=x
--
watch.service
[Unit]
Requires=guard.service
`))
	got := diffUnits(old, parseUnits(unitsText(kept)))
	if want := []string{"behind.service", "web.service"}; !slices.Equal(got.Restart, want) {
		t.Errorf("restart: got %v, want %v", got.Restart, want)
	}
	if want := []string{"guard.service", "watch.service"}; !slices.Equal(got.Stop, want) {
		t.Errorf("stop: got %v, want %v", got.Stop, want)
	}
	if got := diffUnits(parseUnits(unitsText(kept)), old); len(got.Restart) > 0 {
		t.Errorf("a link that comes restarts %v", got.Restart)
	}
}
