package compile

import (
	"fmt"
	"net"
	"strconv"

	"github.com/nixmesh/nixmesh/spec"
)

// checks are the health checks of an instance, one definition each.
func (c *hostCompiler) checks(i instance) error {
	for n, check := range i.service.Checks {
		a, err := c.check(i, check)
		if err != nil {
			return err
		}
		c.define(&module{
			place:  check.Place,
			pkgs:   check.Package != nil,
			config: attrs{bind(nixPath("services", "nixmesh", "checks", checkName(i, n)), a)},
		}, i.service.Place)
	}
	return nil
}

func (c *hostCompiler) check(i instance, check *spec.Check) (attrs, error) {
	place := orPlace(check.Place, i.service.Place)
	a := attrs{
		bind("instance", str(i.name)),
		bind("place", placeText(place)),
		bind("kind", str(check.Kind)),
	}
	if check.Kind == "exec" {
		a = append(a, bind("exec", words(check.Exec)))
		if check.Package != nil {
			a = append(a, bind("package", c.packageRef(check.Package, place)))
		}
	} else {
		listen := i.service.Listen(check.Listen)
		if listen == nil {
			return nil, fmt.Errorf("%s: no listen %q to check", place, check.Listen)
		}
		port, err := c.port(i, listen)
		if err != nil {
			return nil, err
		}
		a = append(a, bind("address", str(checkAddress(listen.Address, port))))
		if check.Kind == "http" {
			a = append(a, bind("path", str(check.HTTP)))
			if listen.Protocol == "http2" {
				a = append(a, bind("http2", raw("true")))
			}
		}
	}
	if check.GRPC != "" {
		a = append(a, bind("grpc", str(check.GRPC)))
	}
	return append(a,
		bind("every", duration(check.Every)),
		bind("timeout", duration(check.Timeout)),
		bind("after", duration(check.After)),
		bind("rise", number(check.Rise)),
		bind("fall", number(check.Fall)),
	), nil
}

// checkAddress is where a check connects to: a listen on all addresses is
// asked on loopback.
func checkAddress(host string, port int) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// checkName is the instance's name; from the second check on with a number.
func checkName(i instance, n int) string {
	if n == 0 {
		return i.name
	}
	return fmt.Sprintf("%s#%d", i.name, n+1)
}
