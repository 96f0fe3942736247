package modules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestUnitsOfChecks(t *testing.T) {
	fleet := t.TempDir()
	if err := os.WriteFile(filepath.Join(fleet, "db.age"), []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Services, Sockets, None, Listen, WantedBy []string
		Socket, Environment, Dynamic              map[string]string
		Config                                    map[string][]string
		Collect, Path                             string
		Restart                                   bool
		Facts                                     struct {
			Instances []hostfacts.Instance
			Checks    []hostfacts.Check
		}
	}
	eval(t, "check-units.nix", map[string]string{"fleet": fleet}, &got)

	const name = "api@v1#2"
	unit := hostfacts.CheckUnit(name)
	if diff := cmp.Diff([]string{unit + "@", "nixmesh-check-legacy@"}, got.Services); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{unit, "nixmesh-check-legacy"}, got.Sockets); diff != "" {
		t.Error(diff)
	}
	if len(got.None) != 0 {
		t.Errorf("a host without an agent has %q", got.None)
	}
	if diff := cmp.Diff([]string{hostfacts.CheckSockets + "/" + name}, got.Listen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"sockets.target"}, got.WantedBy); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{
		"Accept": "1", "MaxConnections": "1", "SocketUser": "nixmesh-agent", "SocketMode": "0600",
		"DirectoryMode": "0755", "RemoveOnStop": "1", "TriggerLimitIntervalSec": "0",
	}, got.Socket); diff != "" {
		t.Error(diff)
	}
	if got.Restart || got.Collect != "inactive-or-failed" {
		t.Errorf("restartIfChanged = %v, CollectMode = %s", got.Restart, got.Collect)
	}

	var check hostfacts.Check
	for _, c := range got.Facts.Checks {
		if c.Name == name {
			check = c
		}
	}
	// The unit and the transient unit of a verification are one thing.
	want := map[string][]string{
		"User": {check.User}, "StandardInput": {"null"}, "StandardOutput": {"socket"}, "StandardError": {"journal"},
		"RuntimeMaxSec": {"1m30s 3s"}, "TimeoutStopSec": {"1s"}, "LogLevelMax": {"notice"}, "Slice": {"system.slice"},
		"LoadCredential": check.Credentials, "EnvironmentFile": {check.EnvironmentFile},
	}
	for _, property := range check.Sandbox {
		key, value, _ := strings.Cut(property, "=")
		want[key] = append(want[key], value)
	}
	command := strings.Join(got.Config["ExecStart"], " ")
	delete(got.Config, "ExecStart")
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Error(diff)
	}
	if program, args, _ := strings.Cut(command, " "); !strings.HasSuffix(program, "/bin/nixmesh") || args != `host check-exec "`+name+`"` {
		t.Errorf("ExecStart=%s", command)
	}
	if got.Path != check.Env["PATH"] || !strings.Contains(got.Path, "coreutils") {
		t.Errorf("PATH=%s, and %s in a verification", got.Path, check.Env["PATH"])
	}
	if got.Environment["GREETING"] != `50%% "off"` || check.Env["GREETING"] != `50% "off"` {
		t.Errorf("GREETING=%s, and %s in a verification", got.Environment["GREETING"], check.Env["GREETING"])
	}
	if got.Environment["DATABASE_URL_FILE"] != "%d/DATABASE_URL" {
		t.Errorf("environment %q", got.Environment)
	}
	// Folders of a user that systemd makes up are systemd's to show, and to keep.
	if diff := cmp.Diff(map[string]string{
		"User": "legacy", "DynamicUser": "yes", "StateDirectory": "legacy", "StateDirectoryMode": "0700",
		"RuntimeDirectory": "legacy legacy/sockets", "RuntimeDirectoryPreserve": "yes",
	}, got.Dynamic); diff != "" {
		t.Error(diff)
	}
	for _, i := range got.Facts.Instances {
		if i.Job != (i.Service == "report") || i.MayEnd != (i.Service == "once") {
			t.Errorf("%s: job %v, may end %v", i.Service, i.Job, i.MayEnd)
		}
	}
}
