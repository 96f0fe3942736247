package ca

import (
	"testing"
	"testing/synctest"
)

// slowDisk writes when it may.
type slowDisk struct {
	*memory
	may chan struct{}
}

func (d slowDisk) Save(name string, content []byte) error {
	<-d.may
	return d.memory.Save(name, content)
}

// A disk that takes its time keeps no leaf from serving, and nobody waiting who
// asks for one.
func TestKeeperDoesNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := r.keeper("app2")
		disk := slowDisk{r.hosts["app2"].store, make(chan struct{})}
		k.Store = disk
		changed := make(chan string, 1)
		k.Changed = func(service string) { changed <- service }
		defer run(t, k)()
		settle()
		served := make(chan error)
		go func() { served <- r.serves(k, "api") }()
		settle()
		select {
		case err := <-served:
			if err != nil || len(changed) != 1 || disk.has("svc-api.v1") {
				t.Errorf("%v, %d told", err, len(changed))
			}
			close(disk.may)
		default:
			close(disk.may)
			t.Errorf("who asks waits for the disk: %v", <-served)
		}
		settle()
		if s := k.Status().of("api"); s.Unsaved || !disk.has("svc-api.v1") {
			t.Errorf("not on disk: %+v", s)
		}
	})
}
