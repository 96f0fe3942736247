package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Users of the table that modules/testdata/guard.nix renders.
const (
	root     = 0
	web      = 32000 // calls api and cache; egress = "declared"
	api      = 32001 // calls cache; egress = "declared"
	legacy   = 32002 // mtls = "permissive", egress = "open"
	cache    = 32010
	nobody   = 1234
	envoy    = 39999
	agent    = 39998
	refused  = "refused"
	silent   = "silent"
	noRights = "operation not permitted"
)

// rendered is a table of the modules' goldens, with a number for the user that
// it names.
func rendered(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../modules/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), `"redis-shop"`, "32010")), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRules holds the table to what it is for, with users, sockets and a kernel
// that are real: once itself, and once its copy alone.
func TestRules(t *testing.T) {
	needKernel(t)
	for _, name := range []string{"guard.nft", "guard-copy.nft"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, far := newNetwork(t), newNetwork(t)
			host.link(t, far)
			host.run(t, "nft", "--check", "--file", rendered(t, name))
			h, err := loadStaying(t, host, rendered(t, name))
			if err != nil {
				t.Fatal(err)
			}
			defer h.release()
			testRules(t, host, far)
		})
	}
}

func testRules(t *testing.T, host, far *network) {
	var envoys []func()
	for _, at := range []string{"15900", "15901", "15902"} {
		envoys = append(envoys, host.listens(t, envoy, "127.65.0.1:"+at, "edge-"+at))
	}
	host.listens(t, nobody, "0.0.0.0:80", "wildcard")
	endWeb := host.listens(t, web, "0.0.0.0:20000", "web")
	endWeb6 := host.listens(t, web, "[::]:20000", "web")
	endAPI := host.listens(t, api, "127.0.0.1:20001", "api")
	host.listens(t, legacy, "0.0.0.0:8080", "legacy")
	host.listens(t, nobody, "127.0.0.1:8081", "front")
	host.listens(t, web, "0.0.0.0:9999", "web-other")
	far.listens(t, root, "10.94.77.2:9000", "far")
	far.listens(t, root, "[fd00::2]:9000", "far")

	t.Run("a caller reaches its own listener", func(t *testing.T) {
		host.wantCalls(t,
			call{web, "127.64.0.2:80", "edge-15901"}, call{web, "127.64.0.2:8000", "edge-15901"},
			call{web, "127.64.0.3:6379", "edge-15902"}, call{api, "127.64.0.3:6379", "edge-15900"},
			call{web, "[::ffff:127.64.0.2]:80", "edge-15901"})
	})
	t.Run("nobody else does", func(t *testing.T) {
		for _, uid := range []int{root, api, nobody, legacy, envoy, agent} {
			host.wantCalls(t, call{uid, "127.64.0.2:80", refused}, call{uid, "[::ffff:127.64.0.2]:80", refused})
		}
		// Another port, another name, and the address of a name of nobody's.
		host.wantCalls(t, call{web, "127.64.0.2:81", refused}, call{web, "127.64.0.1:80", refused}, call{nobody, "127.64.9.9:80", refused})
	})
	t.Run("a listener of Envoy is not dialled", func(t *testing.T) {
		for _, uid := range []int{root, web, api, nobody, envoy} {
			host.wantCalls(t, call{uid, "127.65.0.1:15901", refused}, call{uid, "[::ffff:127.65.0.1]:15901", refused}, call{uid, "127.65.0.2:80", refused})
		}
	})
	t.Run("UDP", func(t *testing.T) {
		host.wantCalls(t,
			call{web, "udp!127.64.0.2:80", noRights}, call{nobody, "udp!127.64.0.2:80", noRights}, call{nobody, "udp!127.65.0.1:15901", noRights},
			call{nobody, "udp!127.0.0.1:20000", "sent"}, call{web, "udp!10.94.77.2:9000", noRights}, call{legacy, "udp!10.94.77.2:9000", "sent"})
	})
	t.Run("an application's port", func(t *testing.T) {
		everywhere := []string{"127.0.0.1:20000", "10.94.77.1:20000", "127.0.0.9:20000", "[::ffff:127.0.0.1]:20000", "[::1]:20000", "[fd00::1]:20000"}
		for _, at := range everywhere {
			for _, uid := range []int{envoy, agent, web} {
				host.wantCalls(t, call{uid, at, "web"})
			}
			for _, uid := range []int{root, api, nobody} {
				host.wantCalls(t, call{uid, at, refused})
			}
		}
		host.wantCalls(t, call{web, "127.0.0.1:20001", refused}, call{api, "127.0.0.1:20001", "api"})
	})
	t.Run("from outside", func(t *testing.T) {
		far.wantCalls(t,
			call{root, "10.94.77.1:20000", silent}, call{root, "[fd00::1]:20000", silent}, call{root, "10.94.77.1:20001", silent},
			call{root, "10.94.77.1:9999", "web-other"}, call{root, "10.94.77.1:8080", "legacy"}, call{root, "10.94.77.1:80", "wildcard"})
	})
	t.Run("permissive", func(t *testing.T) {
		host.wantCalls(t, call{nobody, "127.0.0.1:8080", "legacy"}, call{root, "10.94.77.1:8080", "legacy"}, call{envoy, "127.0.0.1:8080", "legacy"})
	})
	t.Run("egress", func(t *testing.T) {
		host.wantCalls(t,
			call{web, "10.94.77.2:9000", refused}, call{web, "[fd00::2]:9000", refused}, call{api, "10.94.77.2:9000", refused},
			call{legacy, "10.94.77.2:9000", "far"}, call{legacy, "[fd00::2]:9000", "far"}, call{root, "10.94.77.2:9000", "far"}, call{envoy, "10.94.77.2:9000", "far"},
			call{web, "127.0.0.1:80", "wildcard"}) // this host is not away
	})
	t.Run("what root binds another user may serve", func(t *testing.T) {
		host.wantCalls(t, call{envoy, "127.0.0.1:8081", "front"}, call{nobody, "127.0.0.1:8081", refused})
	})
	t.Run("a dead Envoy is closed, and its port nobody's", func(t *testing.T) {
		for _, end := range envoys {
			end()
		}
		host.wantCalls(t, call{web, "127.64.0.2:80", refused}, call{api, "127.64.0.3:6379", refused})
		host.listens(t, nobody, "127.65.0.1:15901", "squatter")
		host.listens(t, web, "0.0.0.0:15900", "squatter")
		host.wantCalls(t, call{web, "127.64.0.2:80", silent}, call{api, "127.64.0.3:6379", silent})
	})
	t.Run("a dead application's port is nobody's", func(t *testing.T) {
		endWeb()
		endWeb6()
		endAPI()
		host.wantCalls(t, call{envoy, "127.0.0.1:20000", refused})
		host.listens(t, nobody, "0.0.0.0:20000", "squatter")
		host.listens(t, api, "[::]:20000", "squatter")
		host.wantCalls(t, call{envoy, "127.0.0.1:20000", silent}, call{envoy, "10.94.77.1:20000", silent}, call{envoy, "[::1]:20000", silent}, call{agent, "127.0.0.1:20000", silent})
		// systemd's sockets are root's.
		host.listens(t, root, "127.0.0.1:20001", "activated")
		host.wantCalls(t, call{envoy, "127.0.0.1:20001", "activated"})
	})
}

// loadStaying loads a table and stays, as the owner of a copy has to.
func loadStaying(t *testing.T, n *network, file string) (h *holder, err error) {
	t.Helper()
	want, err := hashOf(file)
	if err != nil {
		return nil, err
	}
	err = n.do(func() error {
		h, err = hold("nft", file)
		return err
	})
	if err != nil {
		return nil, err
	}
	for range 500 {
		hash := ""
		err = n.do(func() error {
			s, err := openSocket(false)
			if err != nil {
				return err
			}
			defer s.close()
			for _, name := range []string{tableName, copyName} {
				if got, err := s.loaded(name); err != nil || got != "" {
					hash = got
					return err
				}
			}
			return nil
		})
		if err != nil || hash == want {
			return h, err
		}
		if err := wait(t.Context(), 10e6); err != nil {
			return h, err
		}
	}
	t.Fatalf("not loaded: %s", h.said)
	return nil, nil
}
