package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
)

func newMeshRoutesCmd(a *app) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "routes [SERVICE]",
		Short: "Who may call what, and by which route, shares and times, as it is in force",
		Example: `  nixmesh mesh routes
  nixmesh mesh routes api
  nixmesh mesh routes api --from web -o wide   with idle times and the load balancer
  nixmesh mesh routes --on db1                 of the configuration that db1 acts on`,
		Long: `Who may call what, and by which route, shares and times. It is the mesh configuration in
force, as the agents of up to five hosts have it; what the spec says beyond that is for
nixmesh plan. Behind each value stands who says so: the callee's route, a gateway's route, the
caller's upstream block, or the default of the protocol.

Routes are tried in the order of the lines of one caller. Nobody else may call.

EXIT STATUS
  0   done
  1   the hosts have no mesh configuration yet
  6   the fleet has no CA, so its hosts have no agents
  7   no agent answered`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshRoutes(cmd.Context(), a, args, from) },
	}
	cmd.Flags().StringVar(&from, "from", "", "only what this `caller` may call: a service or a gateway")
	return a.selects(cmd)
}

// meshRoutesSchema names the JSON form of meshRoutes.
const meshRoutesSchema = "nixmesh.mesh-routes/1"

// meshRoutes are the calls that a configuration lets pass.
type meshRoutes struct {
	Schema   string     `json:"schema"`
	Fleet    string     `json:"fleet"`
	Document int64      `json:"document"` // version
	Host     string     `json:"host"`     // whose agent said so
	Calls    []meshCall `json:"calls"`
}

// meshCall is what one caller may do of one upstream.
type meshCall struct {
	Caller   string      `json:"caller"`
	Kind     string      `json:"kind"` // "service", "gateway", "operator"
	Upstream string      `json:"upstream"`
	Protocol string      `json:"protocol"`
	May      []string    `json:"may,omitempty"` // what narrows it, any of them; absent = everything
	LB       string      `json:"lb,omitempty"`
	Failover []string    `json:"failover,omitempty"`
	Routes   []meshRoute `json:"routes,omitempty"`
}

// meshRoute is what becomes of some of the requests.
type meshRoute struct {
	Match       string      `json:"match"`
	Action      string      `json:"action,omitempty"` // other than to be sent on
	To          []meshShare `json:"to,omitempty"`
	Timeout     shownValue  `json:"timeout"`
	IdleTimeout shownValue  `json:"idle_timeout"`
	Retry       shownValue  `json:"retry"`
}

type meshShare struct {
	Name    string       `json:"name"` // "api", "api@v1", "api.stripe.com:443"
	Percent mesh.Percent `json:"percent"`
}

func runMeshRoutes(ctx context.Context, a *app, args []string, from string) error {
	d, hosts, err := a.openMesh(ctx, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	document, host, err := d.MeshDocument(ctx, hosts)
	if err != nil {
		return failed(cmp.Or(ctx.Err(), err))
	}
	service := ""
	if len(args) > 0 {
		service = args[0]
	}
	c := document.Config
	if err := knownNames(c, service, from); err != nil {
		return err
	}
	r := &meshRoutes{Schema: meshRoutesSchema, Fleet: c.Fleet, Document: document.Version, Host: host, Calls: callsOf(c, service, from)}
	if a.isJSON() {
		return printJSON(a.stdout, r)
	}
	r.write(a.stdout, a.style(a.stdout), a.output == "wide")
	return nil
}

// knownNames refuses names that the configuration does not have.
func knownNames(c *mesh.Config, service, from string) error {
	if service != "" && c.Services[service] == nil && c.Externals[service] == nil {
		names := slices.Sorted(maps.Keys(c.Services))
		names = append(names, slices.Sorted(maps.Keys(c.Externals))...)
		return usageErrorf("the mesh configuration in force has no service or external %q; it has %s", service, strings.Join(names, ", "))
	}
	operator, is := strings.CutPrefix(from, "operator/")
	if from != "" && c.Services[from] == nil && c.Gateways[from] == nil && (!is || c.Operators[operator] == nil) {
		return usageErrorf("nobody in the mesh configuration in force is named %q", from)
	}
	return nil
}

// write writes the calls for people, those of one upstream together.
func (r *meshRoutes) write(w io.Writer, style term.Style, wide bool) {
	fmt.Fprintf(w, "%s   document %d, as %s acts on it\n\n", style.Bold(r.Fleet), r.Document, r.Host)
	t := &term.Table{Header: []string{"TO", "FROM", "MAY", "MATCH", "VERSION", "WEIGHT", "TIMEOUT", "RETRY"}, Right: []bool{false, false, false, false, false, true}}
	if wide {
		t.Header = append(t.Header, "IDLE", "BALANCE", "FAILOVER")
	}
	to := ""
	for _, call := range r.Calls {
		first := []string{" ", call.Caller, strings.Join(call.May, " or ")}
		if call.Kind != "service" {
			first[1] = call.Kind + " " + strings.TrimPrefix(call.Caller, "operator/")
		}
		if first[2] == "" {
			first[2] = "everything"
		}
		if call.Upstream != to {
			to = call.Upstream
			first[0] = style.Bold(to)
		}
		for _, row := range call.rows(wide) {
			t.Add(append(first, row...)...)
			first = []string{" ", " ", " "}
		}
	}
	_ = t.Write(w) // a failing write of stdout has nobody to be told to
}

// rows are the cells of a call after those that say whose it is.
func (c meshCall) rows(wide bool) (rows [][]string) {
	if len(c.Routes) == 0 {
		return [][]string{nil}
	}
	for i, r := range c.Routes {
		times := []string{r.Timeout.short(), r.Retry.short()}
		if wide {
			times = append(times, r.IdleTimeout.short(), c.LB, strings.Join(c.Failover, ", "))
		}
		if i > 0 && wide {
			times[3], times[4] = " ", " "
		}
		if r.Action != "" {
			rows = append(rows, []string{r.Match, r.Action, " ", " ", " "})
			continue
		}
		for n, share := range r.To {
			match := r.Match
			if n > 0 {
				match = " "
				times = slices.Repeat([]string{" "}, len(times))
			}
			rows = append(rows, append([]string{match, share.Name, percentText(float64(share.Percent))}, times...))
		}
	}
	return rows
}

// short is "2s (upstream)".
func (v shownValue) short() string {
	if v.Value == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", v.Value, v.From)
}
