package delta

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
)

// real is an Envoy that takes everything from a Server.
type real struct {
	t       *testing.T
	dir     string
	admin   *http.Client
	process *exec.Cmd

	server *Server
	stop   func() // of the server
}

// startReal starts an Envoy whose server listens, and has been told nothing.
func startReal(t *testing.T) *real {
	t.Helper()
	r := &real{t: t, dir: t.TempDir()}
	r.admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "admin.sock"))
	}}}
	t.Cleanup(r.admin.CloseIdleConnections)
	r.serve(nil)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts the process.
func (r *real) start() {
	r.t.Helper()
	ads := map[string]any{"ads": map[string]any{}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
	text, err := json.Marshal(map[string]any{
		"node":  map[string]any{"id": "host1", "cluster": "test"},
		"admin": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": filepath.Join(r.dir, "admin.sock")}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{
					"cluster_name": "xds", "retry_policy": map[string]any{"retry_back_off": map[string]any{"base_interval": "0.1s", "max_interval": "1s"}},
				}}},
			},
			"cds_config": ads, "lds_config": ads,
		},
		"static_resources": map[string]any{"clusters": []any{map[string]any{
			"name": "xds", "type": "STATIC", "connect_timeout": "1s",
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
			}},
			"load_assignment": map[string]any{"cluster_name": "xds", "endpoints": []any{map[string]any{"lb_endpoints": []any{map[string]any{
				"endpoint": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": filepath.Join(r.dir, "xds.sock")}}},
			}}}}},
		}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.dir, "bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Binary(r.t), "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "-l", "info", "--drain-time-s", "1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.process = cmd
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
		if r.t.Failed() {
			text, _ := os.ReadFile(filepath.Join(r.dir, "log"))
			r.t.Logf("envoy wrote:\n%s", text[max(0, len(text)-6000):])
		}
	})
}

// serve begins a new Server on the socket. It has been told nothing.
func (r *real) serve(resources []*xds.Resource) {
	r.t.Helper()
	socket := filepath.Join(r.dir, "xds.sock")
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := New(Options{Timings: Timings{Warm: testPatience, Ack: testPatience}}) // no bound runs out while Envoy waits for its turn
	if resources != nil {
		s.Replace(resources)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	r.server = s
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
}

// settle waits until nothing is on its way, and returns the status then.
func (r *real) settle() Status {
	r.t.Helper()
	return r.wait("settled", func(st Status) bool { return st.Settled })
}

// testPatience is after how long a test gives up what a machine with other work may
// take its time for.
const testPatience = 2 * time.Minute

func (r *real) wait(what string, ok func(Status) bool) Status {
	r.t.Helper()
	limit := time.After(testPatience)
	for {
		if st := r.server.Status(); ok(st) {
			return st
		}
		select {
		case <-r.server.Changed():
		case <-limit:
			st := r.server.Status()
			r.t.Fatalf("not %s after %s: settled %v, pending %d, warming %v, refused %v", what, testPatience, st.Settled, st.Pending, st.Warming, st.Refused)
		}
	}
}

// sent are the totals over all types.
func sentTotal(st Status) (total Counts) {
	for _, c := range st.Types {
		total.Resources += c.Resources
		total.Removals += c.Removals
		total.Nacked += c.Nacked
		total.Sent += c.Sent
	}
	return total
}

// web is a server that answers with its name.
func web(t *testing.T, name string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// echo is a server that returns what it gets.
func echo(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// get calls a port, and says what came back.
func get(port int) string {
	c := &http.Client{Timeout: testPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(body))
}

// calls is load on a port: some connections that are kept, and new ones.
type calls struct {
	port   int
	done   chan struct{}
	all    sync.WaitGroup
	count  atomic.Int64
	mu     sync.Mutex
	failed []string
}

func load(t *testing.T, port int) *calls {
	c := &calls{port: port, done: make(chan struct{})}
	for i := range 4 {
		c.all.Go(func() {
			client := &http.Client{Timeout: testPatience, Transport: &http.Transport{DisableKeepAlives: i == 0, MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for tick := time.NewTicker(5 * time.Millisecond); ; {
				select {
				case <-c.done:
					tick.Stop()
					return
				case <-tick.C:
					c.call(client)
				}
			}
		})
	}
	t.Cleanup(c.finish)
	return c
}

func (c *calls) call(client *http.Client) {
	c.count.Add(1)
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", c.port))
	if err == nil {
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode == 200 {
			return
		}
		err = fmt.Errorf("%s %s", res.Status, body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, err.Error())
}

func (c *calls) finish() {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	c.all.Wait()
}

// more waits until that many more calls have been made.
func (c *calls) more(t *testing.T, n int64) {
	t.Helper()
	for until, limit := c.count.Load()+n, time.Now().Add(testPatience); c.count.Load() < until; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the load stands still")
		}
	}
}

// none fails the test if any call failed.
func (c *calls) none(t *testing.T) {
	t.Helper()
	c.finish()
	if len(c.failed) > 0 {
		t.Errorf("%d of %d calls failed: %s", len(c.failed), c.count.Load(), strings.Join(c.failed[:min(3, len(c.failed))], "; "))
	}
	t.Logf("%d calls, %d failed", c.count.Load(), len(c.failed))
}
