//go:build linux

// Package tundev makes the network device of a sandbox, in the network namespace of the thread that calls it.
//
// It must not know what is behind the device, nor import anything but the standard library and the kernel's calls: it is linked into the init as
// well, whose size is paid at each start.
package tundev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is the file that devices are made by.
const Path = "/dev/net/tun"

const (
	name = "eth0"
	// mtu is large, since no wire carries the packets: fewer of them carry the same bytes.
	mtu = 32 << 10
)

// Open makes a device with an address of each family, and has everything go through it. It gives the host's end, non-blocking: a read is
// one bare IP packet, and so is a write. A kernel without IPv6 gets none.
func Open(addresses []netip.Prefix) (fd int, err error) {
	fd, err = unix.Open(Path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", Path, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = -1
		}
	}()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fd, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fd, fmt.Errorf("make network device: %w", err)
	}
	for _, a := range addresses {
		if a.Addr().Is4() {
			err = configure4(a)
		} else if err = configure6(a); errors.Is(err, unix.EAFNOSUPPORT) {
			err = nil
		}
		if err != nil {
			return fd, err
		}
	}
	return fd, nil
}

func configure4(a netip.Prefix) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("configure network device: %w", err)
	}
	defer unix.Close(s)
	set := func(what uint, fill func(*unix.Ifreq) error) error {
		req, err := unix.NewIfreq(name)
		if err == nil {
			err = fill(req)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, what, req)
		}
		return err
	}
	mask := ^uint32(0) << (32 - a.Bits())
	err = errors.Join(
		set(unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }),
		set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(a.Addr().AsSlice()) }),
		set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(binary.BigEndian.AppendUint32(nil, mask)) }),
		set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }),
	)
	if err == nil {
		err = routeAll4(s)
	}
	if err != nil {
		return fmt.Errorf("configure network device: %w", err)
	}
	return nil
}

// routeAll4 adds a default route, by struct rtentry of the kernel.
func routeAll4(s int) error {
	device := append([]byte(name), 0)
	any4 := [16]byte{}
	binary.NativeEndian.PutUint16(any4[:], unix.AF_INET)
	route := struct {
		_                     uintptr
		dst, gateway, netmask [16]byte
		flags                 uint16
		_                     int16
		_                     uintptr
		_                     uint8
		_                     uint8
		_                     [3]int16
		metric                int16
		dev                   *byte
		mtu, window           uintptr
		irtt                  uint16
	}{dst: any4, netmask: any4, flags: unix.RTF_UP, dev: &device[0]}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCADDRT, uintptr(unsafe.Pointer(&route))); errno != 0 {
		return errno
	}
	return nil
}

func configure6(a netip.Prefix) error {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("configure network device: %w", err)
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return fmt.Errorf("configure network device: %w", err)
	}
	index := req.Uint32()
	address := struct { // struct in6_ifreq
		addr   [16]byte
		prefix uint32
		index  uint32
	}{a.Addr().As16(), uint32(a.Bits()), index}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&address))); errno != 0 {
		if errno == unix.EACCES || errno == unix.EOPNOTSUPP || errno == unix.ENODEV { // IPv6 is switched off for devices
			return nil
		}
		return fmt.Errorf("configure network device: %w", errno)
	}
	route := struct { // struct in6_rtmsg
		dst, src, gateway [16]byte
		kind              uint32
		dstLen, srcLen    uint16
		metric            uint32
		info              uintptr
		flags             uint32
		index             uint32
	}{metric: 1, flags: unix.RTF_UP, index: index}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCADDRT, uintptr(unsafe.Pointer(&route))); errno != 0 {
		return fmt.Errorf("configure network device: %w", errno)
	}
	return nil
}
