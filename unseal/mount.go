package unseal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mount makes a folder a tmpfs of its own, for root alone and, where the
// kernel can, never swapped to a disk. A folder that is one already stays.
func Mount(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder of secrets: %w", err)
	}
	mounted, err := isTmpfs(dir)
	if err != nil {
		return fmt.Errorf("look at folder of secrets: %w", err)
	}
	if mounted {
		return nil
	}
	const flags, options = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "mode=0700,size=256m"
	err = unix.Mount("nixmesh-secrets", dir, "tmpfs", flags, options+",noswap")
	if errors.Is(err, unix.EINVAL) { // Linux before 6.4, or a container
		err = unix.Mount("nixmesh-secrets", dir, "tmpfs", flags, options)
	}
	if err != nil {
		return fmt.Errorf("mount tmpfs for secrets at %s: %w", dir, err)
	}
	return nil
}

// Unmount takes the tmpfs away, and with it every secret. A folder without one
// stays.
func Unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount secrets at %s: %w", dir, err)
	}
	return nil
}

// isTmpfs says whether a folder is the root of a tmpfs.
func isTmpfs(dir string) (bool, error) {
	var at, above unix.Stat_t
	var system unix.Statfs_t
	err := errors.Join(unix.Stat(dir, &at), unix.Stat(filepath.Dir(dir), &above), unix.Statfs(dir, &system))
	return at.Dev != above.Dev && system.Type == unix.TMPFS_MAGIC, err
}
