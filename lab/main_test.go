package lab

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// patience bounds every wait for what is to come about. How soon it does is no
// claim of these tests.
const patience = 2 * time.Minute

func testContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// TestMain lets the test binary be the stages of its own labs.
func TestMain(m *testing.M) {
	if code, ok := Stage(os.Args); ok {
		os.Exit(code)
	}
	if text := os.Getenv(crashEnv); text != "" {
		var v victim
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
		os.Exit(v.run())
	}
	os.Exit(m.Run())
}

// needLab skips where no lab can run, and says why.
func needLab(t testing.TB) {
	t.Helper()
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("lab tests left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	err := Check()
	switch {
	case err != nil && os.Getenv("NIXMESH_TEST_LAB") == "require":
		t.Fatal("no lab here: ", err)
	case err != nil:
		t.Skip("no lab here: ", err)
	}
}
