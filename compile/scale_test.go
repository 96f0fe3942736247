package compile_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/spec"
)

// The large fleet: hosts with a tag for each ten, and a fifth as many services on
// ten hosts each, with three upstreams and two routes. 1,000 hosts are to take
// less than a second and 200 MB, on a machine that does nothing else.
const (
	scaleHosts  = 1000
	scaleTime   = time.Second
	scaleMemory = 200 << 20
)

// scaleRun is what one process measured of itself, and what its parent did.
type scaleRun struct {
	Load, Lock, Compile, Mesh time.Duration
	Units                     int
	CPU                       time.Duration // of the whole process
	Memory                    int64         // peak, bytes
}

func (r scaleRun) total() time.Duration { return r.Load + r.Lock + r.Compile + r.Mesh }

// TestScale is a guard against a step that grows with the square of the fleet:
// ten times the work that it should take is one. Work is counted in CPU time, as
// tests share their machine.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a large fleet")
	}
	r := measureScale(t, scaleHosts)
	t.Logf("%d hosts: load %v, lock %v, compile %v, mesh %v; %v CPU, %d MB", scaleHosts, r.Load, r.Lock, r.Compile, r.Mesh, r.CPU, r.Memory>>20)
	if r.Units != 2*scaleHosts {
		t.Errorf("%d units, want %d", r.Units, 2*scaleHosts)
	}
	if r.CPU > 10*scaleTime || r.Memory > 10*scaleMemory {
		t.Errorf("took %v of CPU and %d MB, want %v and %d MB", r.CPU, r.Memory>>20, scaleTime, scaleMemory>>20)
	}
}

// BenchmarkScale compares a small fleet with the large one: the CPU time for each
// hundred hosts stays the same, but for what the process itself takes.
func BenchmarkScale(b *testing.B) {
	for _, hosts := range []int{100, 300, scaleHosts} {
		b.Run(fmt.Sprintf("%d-hosts", hosts), func(b *testing.B) {
			var sum scaleRun
			for b.Loop() {
				r := measureScale(b, hosts)
				sum.Load, sum.Lock, sum.Compile, sum.Mesh = sum.Load+r.Load, sum.Lock+r.Lock, sum.Compile+r.Compile, sum.Mesh+r.Mesh
				sum.CPU += r.CPU
				sum.Memory = max(sum.Memory, r.Memory)
			}
			ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
			b.ReportMetric(0, "ns/op") // of the process around it
			b.ReportMetric(ms(sum.Load), "load-ms")
			b.ReportMetric(ms(sum.Lock), "lock-ms")
			b.ReportMetric(ms(sum.Compile), "compile-ms")
			b.ReportMetric(ms(sum.Mesh), "mesh-ms")
			b.ReportMetric(ms(sum.total()), "total-ms")
			b.ReportMetric(ms(sum.CPU)*100/float64(hosts), "cpu-ms/100-hosts")
			b.ReportMetric(float64(sum.Memory>>20), "MB")
		})
	}
}

// measureScale compiles a fleet in a process of its own, so that the memory is
// that of nothing else.
func measureScale(t testing.TB, hosts int) scaleRun {
	t.Helper()
	dir := t.TempDir()
	writeScaleFleet(t, dir, hosts)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestScaleProcess$")
	result := filepath.Join(dir, "result.json")
	cmd.Env = append(os.Environ(), "SCALE_FLEET="+dir, "SCALE_RESULT="+result)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	var r scaleRun
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage of the process")
	}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.Memory = usage.Maxrss << 10
	return r
}

// TestScaleProcess is what measureScale runs; by itself it does nothing.
func TestScaleProcess(t *testing.T) {
	dir, result := os.Getenv("SCALE_FLEET"), os.Getenv("SCALE_RESULT")
	if dir == "" {
		return // not started by measureScale
	}
	var r scaleRun
	step := func(d *time.Duration, do func()) {
		start := time.Now()
		do()
		*d = time.Since(start)
	}
	var f *spec.Fleet
	step(&r.Load, func() {
		l := spec.Load(dir, spec.Options{})
		if l.Fleet == nil {
			t.Fatal(l.Diagnostics[0])
		}
		f = l.Fleet
	})
	var lock *spec.Lock
	step(&r.Lock, func() {
		lock, _ = spec.ReadLock(dir)
		if _, d := lock.Allocate(f); len(d) > 0 {
			t.Fatal(d)
		}
		if err := lock.Write(dir); err != nil {
			t.Fatal(err)
		}
	})
	step(&r.Compile, func() {
		out, err := compile.Compile(f, lock, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range out.Hosts {
			r.Units += strings.Count(string(h.Module), ".package = ")
		}
	})
	step(&r.Mesh, func() {
		c, err := compile.Mesh(f, lock, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Canonical()
	})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(result, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeScaleFleet writes the HCL of a large fleet.
func writeScaleFleet(t testing.TB, dir string, hosts int) {
	t.Helper()
	var fleet, services strings.Builder
	fleet.WriteString(`fleet "large" { nixpkgs = "github:NixOS/nixpkgs/nixos-26.05" }

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}
`)
	for i := range hosts {
		fmt.Fprintf(&fleet, "\nhost \"h%d\" {\n  address = \"10.0.%d.%d\"\n  tags    = [\"t%d\"]\n}\n", i, i/250, i%250+1, i/10)
	}
	n := hosts / 5
	for i := range n {
		fmt.Fprintf(&services, `
service "s%d" {
  on      = ["@t%d"]
  package = "server"
  exec    = "bin/server --listen 127.0.0.1:$PORT"
  env     = { LOG_LEVEL = "info" }

  listen "http" {}
  check { http = "/healthz" }

  upstream "s%d" { timeout = "2s" }
  upstream "s%d" {}
  upstream "s%d" {}

  route "/reports/" { timeout = "30s" }
  route "/admin/" { methods = ["GET"] }
}
`, i, i/2, (i+1)%n, (i+2)%n, (i+3)%n)
	}
	for name, text := range map[string]string{"nixmesh.hcl": fleet.String(), "services/all.hcl": services.String()} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
