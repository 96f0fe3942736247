package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// version is the release tag. The linker sets it (-X main.version=…): the tag
// only, no commit and no time, since this binary goes into every closure.
var version = "0.1.0"

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "The version of this program and of what it speaks",
		Args:  cobra.NoArgs,
		Example: `  nixmesh version
  nixmesh version -o json`,
		RunE: func(*cobra.Command, []string) error { return runVersion(a) },
	}
}

func runVersion(a *app) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this executable: %w", err)
	}
	v := struct {
		Schema   string `json:"schema"`
		Version  string `json:"version"`
		Path     string `json:"path"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
		Protocol int    `json:"host_protocol"`
	}{"nixmesh.version/1", version, exe, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, hostfacts.Protocol}
	if a.isJSON() {
		return json.NewEncoder(a.stdout).Encode(v)
	}
	_, err = fmt.Fprintf(a.stdout, "nixmesh %s\n  path           %s\n  built with     %s %s\n  host protocol  %d\n",
		v.Version, v.Path, v.Go, v.Platform, v.Protocol)
	return err
}
