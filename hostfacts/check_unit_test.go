package hostfacts_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// socketUnit is the socket of a check as systemd has it: one connection at a
// time, each with a process of its own. It gives the runner that asks there.
func socketUnit(t *testing.T, c hostfacts.Check, env ...string) hostfacts.Runner {
	t.Helper()
	dir := t.TempDir()
	facts := filepath.Join(dir, "host.json")
	b, err := json.Marshal(hostfacts.Facts{
		Schema: hostfacts.Schema, Fleet: "shop", Host: "app1", System: "x86_64-linux",
		Nixmesh: hostfacts.Nixmesh{Version: "1", Protocol: 1, Binary: "/bin/nixmesh"}, Checks: []hostfacts.Check{c},
		Rollout: hostfacts.Rollout{Confirm: 1, ActivateTimeout: 1, LastResort: "hold"},
	})
	if err == nil {
		err = os.WriteFile(facts, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, c.Name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			file, err := conn.File()
			_ = conn.Close()
			if err != nil {
				t.Error(err)
				return
			}
			cmd := exec.Command(os.Args[0], "host", hostfacts.ExecVerb, c.Name)
			cmd.Env = append(env, "FACTS="+facts)
			cmd.Stdout, cmd.Stderr = file, os.Stderr
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
			_ = file.Close()
		}
	})
	return hostfacts.Runner{CheckSockets: dir}
}

func shellCheck(script string) hostfacts.Check {
	c := check(hostfacts.CheckExec, "")
	c.Name, c.Exec = "web#2", []string{"/bin/sh", "-c", script}
	return c
}

// wantLate wants a check to have ended by its timeout, which a busy machine may
// let pass before the check's unit is asked.
func wantLate(t *testing.T, got hostfacts.Result, after string) {
	t.Helper()
	late := "no answer within " + after
	if got.OK || got.Answer != "sh: "+late && got.Answer != "sh: ask its unit: "+late {
		t.Errorf("got %v %q, want %q", got.OK, got.Answer, late)
	}
}

func TestExecBySocket(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		ok     bool
		answer string
	}{
		"passes":   {"echo ${GREETING} $$GREETING", true, "sh 0 hello world hello world"},
		"fails":    {"echo first; echo it is broken >&2; exit 3", false, "sh: exit status 3: first it is broken"},
		"floods":   {"yes | head -c 10000000; exit 1", false, "sh: exit status 1: …" + strings.TrimSpace(strings.Repeat("y ", 100))},
		"slow":     {script: "sleep 60"},
		"daemon":   {"sleep 60 & echo started", true, "sh 0 started"},
		"is wrong": {"${NOTHING}", false, "command of the check: variable NOTHING is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shellCheck(test.script)
			if name == "slow" {
				c.Timeout = hostfacts.Duration(time.Second)
			}
			r := socketUnit(t, c, "GREETING=hello world", "PATH="+os.Getenv("PATH"))
			got := hostfacts.RunCheck(t.Context(), c, r)
			if name == "slow" {
				wantLate(t, got, "1s")
				return
			}
			want(t, got, test.ok, test.answer)
		})
	}
}

func TestExecBySocketWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	c := shellCheck("true")
	dir := t.TempDir()
	r := hostfacts.Runner{CheckSockets: dir}
	want(t, hostfacts.RunCheck(t.Context(), c, r), false, "sh: ask its unit: no such file or directory")

	l, err := net.Listen("unix", filepath.Join(dir, c.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, test := range []struct {
		says, answer string
	}{
		{"", "sh: nixmesh-check-web:2@.service gave no answer; its journal says why"},
		{strings.Repeat("x", 1<<20), "sh: nixmesh-check-web:2@.service gave no answer; its journal says why"},
		{`{"ok":true,"answer":"` + strings.Repeat(`\n\u001b[2Jx`, 100) + `"}`, ""},
	} {
		go func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Write([]byte(test.says)) // a reader that has had enough closes
			_ = conn.Close()
		}()
		got := hostfacts.RunCheck(t.Context(), c, r)
		if test.answer != "" {
			want(t, got, false, test.answer)
		} else if !got.OK || strings.ContainsAny(got.Answer, "\n\x1b") || len(got.Answer) > 410 {
			t.Errorf("an answer of %d bytes: %.100q", len(got.Answer), got.Answer)
		}
	}
	// Nobody takes the connection: its backlog does, and says nothing.
	c.Timeout = hostfacts.Duration(100 * time.Millisecond)
	wantLate(t, hostfacts.RunCheck(t.Context(), c, r), "100ms")
}

// A command whose asker has gone ends, so that the next one need not wait.
func TestExecEndsWithItsAsker(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "runs")
	c := shellCheck("touch " + mark + "; exec sleep 60")
	r := socketUnit(t, c, "PATH="+os.Getenv("PATH"))
	// The second process begins when the first has ended.
	for range 2 {
		ctx, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			defer leave(errors.New("stopped"))
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if os.Remove(mark) == nil {
					return
				}
			}
			t.Error("the command does not begin")
		})
		want(t, hostfacts.RunCheck(ctx, c, r), false, "sh: stopped")
		wg.Wait()
	}
}

// Names of units are what systemd takes, and no two checks have the same.
func TestCheckUnit(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, want := range map[string]string{
		"web": "nixmesh-check-web", "web-2": "nixmesh-check-web-2", "web#2": "nixmesh-check-web:2",
		"api@v1-2#2": "nixmesh-check-api.v1-2:2", "api-v1-2-2": "nixmesh-check-api-v1-2-2",
	} {
		got := hostfacts.CheckUnit(name)
		if got != want {
			t.Errorf("the unit of %s is %s, want %s", name, got, want)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s are both %s", other, name, got)
		}
		seen[got] = name
	}
}
