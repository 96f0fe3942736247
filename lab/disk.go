package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of a host's file systems. The images are sparse: a host costs what it
// wrote.
const (
	diskSize = 4 << 30  // everything but /boot
	bootSize = 64 << 20 // /boot

	diskImage = "disk.img"
	bootImage = "boot.img"
)

// images returns the folder with the empty file systems that each host's disk
// starts as a copy of.
func (c *cache) images(ctx context.Context, v *view) (string, error) {
	return c.make(ctx, fmt.Sprintf("images-%dM-%dM", diskSize>>20, bootSize>>20), func(ctx context.Context, dir string) error {
		for name, size := range map[string]int64{diskImage: diskSize, bootImage: bootSize} {
			path := filepath.Join(dir, name)
			if err := writeFile(path, "", 0o600); err != nil {
				return fmt.Errorf("make image: %w", err)
			}
			if err := os.Truncate(path, size); err != nil {
				return fmt.Errorf("make image: %w", err)
			}
			cmd := v.command(ctx, nil, "mkfs.ext4", "-q", "-F", "-m0", "-Jsize=4", "-Elazy_itable_init=1,lazy_journal_init=1,nodiscard", path)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("make image: %w: %s", err, out)
			}
		}
		return nil
	})
}

// copySparse copies the parts of a file that hold data.
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	defer dst.Close()
	if err := dst.Truncate(st.Size()); err != nil {
		return fmt.Errorf("copy image: %w", err)
	}
	for at := int64(0); ; {
		at, err = src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no data behind this
			return dst.Close()
		}
		if err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		end, err := src.Seek(at, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, at), io.NewSectionReader(src, at, end-at)); err != nil {
			return fmt.Errorf("copy image: %w", err)
		}
		at = end
	}
}

// mountImage mounts an image through a loop device that the kernel frees with
// the last mount of it.
func mountImage(path, target string) error {
	image, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open image: %w", err)
	}
	defer image.Close()
	loop, err := attachLoop(image)
	if err != nil {
		return err
	}
	defer loop.Close()
	var m mounts
	m.mount(loop.Name(), target, "ext4", unix.MS_NOATIME, "")
	return m.err
}

// attachLoop finds a free loop device for an image. Another process may take
// the same one first, so it tries for a while.
func attachLoop(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("find loop device: %w", err)
	}
	defer control.Close()
	config := &unix.LoopConfig{Fd: uint32(image.Fd())}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image.Name())
	for try := 0; ; try++ {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find loop device: %w", err)
		}
		loop, err := openLoop(n)
		if err != nil {
			return nil, fmt.Errorf("open loop device: %w", err)
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), config)
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) || try == 50 {
			return nil, fmt.Errorf("attach loop device %d: %w", n, err)
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// openLoop opens /dev/loopN and makes the node where nobody else does.
func openLoop(n int) (*os.File, error) {
	path := fmt.Sprintf("/dev/loop%d", n)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	const loopMajor = 7
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(loopMajor, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}
