package server

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// guard decides which requests may be served at all. It exists because of browsers: a page from
// anywhere can make one send requests to loopback addresses.
//
//   - A Host that is neither loopback nor configured is refused. That stops DNS rebinding, where
//     the page's own name is made to resolve to 127.0.0.1 and so counts as the same origin.
//   - A state-changing request with the Origin of another site is refused. That stops forms and
//     scripts of other sites, which may send some requests without asking first.
//
// It also refuses a body that is framed in two ways, by length and by chunks: a proxy in front
// may have gone by the other one, and then what it took for a body would be taken for a request
// here.
type guard struct {
	hosts map[string]bool // configured names, lower case, with the port where one was given
}

func newGuard(o Options) guard {
	g := guard{hosts: make(map[string]bool)}
	add := func(host, port string) {
		if port != "" {
			host += ":" + port
		}
		g.hosts[host] = true
	}
	for _, h := range o.Hosts {
		if host, port, ok := splitHost(h); ok {
			add(host, port)
		}
	}
	// An address the operator chose to listen on is one that clients will name. An address of
	// all interfaces says nothing about names.
	if host, _, err := net.SplitHostPort(o.Listen); err == nil && host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.IsUnspecified() {
			if name, _, ok := splitHost(net.JoinHostPort(host, "1")); ok {
				add(name, "")
			}
		}
	}
	return g
}

// check refuses a request for whom it names as host, where it comes from, or how it is framed.
func (g guard) check(ctx *fasthttp.RequestCtx) error {
	if ctx.Request.Header.ContentLength() == -1 && namesLength(ctx.Request.Header.RawHeaders()) {
		ctx.SetConnectionClose()
		return refuse(codeBadRequest, "the request has both Transfer-Encoding and Content-Length")
	}
	host := ctx.Request.Header.Host()
	if len(host) == 0 {
		// HTTP/1.1 without Host never gets here. Browsers do not speak HTTP/1.0.
		if ctx.Request.Header.IsHTTP11() {
			return refuse(codeForbiddenHost, "the request has no Host")
		}
	} else if !g.known(string(host)) {
		return refuse(codeForbiddenHost, "Host %q is neither loopback nor configured", clip(host))
	}
	if target := ctx.Request.Header.RequestURI(); len(target) > 0 && target[0] != '/' {
		if authority, ok := authorityOf(target); ok && !g.known(string(authority)) {
			return refuse(codeForbiddenHost, "host %q is neither loopback nor configured", clip(authority))
		}
	}
	if ctx.IsGet() || ctx.IsHead() || ctx.IsOptions() {
		return nil
	}
	for _, origin := range ctx.Request.Header.PeekAll(fasthttp.HeaderOrigin) {
		if !sameOrigin(origin, host) {
			return refuse(codeForbiddenOrigin, "Origin %q is another site", clip(origin))
		}
	}
	return nil
}

// namesLength says whether raw header lines have a Content-Length.
func namesLength(raw []byte) bool {
	const name = "content-length"
	for line := range bytes.Lines(raw) {
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) && strings.IndexByte(" \t:", line[len(name)]) >= 0 {
			return true
		}
	}
	return false
}

func (g guard) known(hostport string) bool {
	host, port, ok := splitHost(hostport)
	if !ok {
		return false
	}
	if host == "localhost" {
		return true
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && a.Unmap().IsLoopback() {
		return true
	}
	return g.hosts[host] || port != "" && g.hosts[host+":"+port]
}

// sameOrigin says whether origin is scheme://host with exactly this host and port.
func sameOrigin(origin, host []byte) bool {
	for _, scheme := range [...]string{"http://", "https://"} {
		if rest, ok := bytes.CutPrefix(origin, []byte(scheme)); ok {
			return len(host) > 0 && bytes.EqualFold(rest, host)
		}
	}
	return false
}

// authorityOf gives the host of a request target in absolute form, http://host/path.
func authorityOf(target []byte) ([]byte, bool) {
	_, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok {
		return nil, false
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest, true
}

// splitHost splits host or host:port. The host comes back in lower case, an IPv6 address in
// brackets, without the dot that may end a full domain name.
func splitHost(s string) (host, port string, ok bool) {
	s = strings.ToLower(s)
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		a, err := netip.ParseAddr(s[1:end])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", "", false
		}
		host, s = "["+a.String()+"]", s[end+1:]
	} else {
		i := strings.IndexByte(s, ':')
		if i < 0 {
			i = len(s)
		}
		host, s = strings.TrimSuffix(s[:i], "."), s[i:]
		if host == "" || strings.ContainsAny(host, "/@?#[] \t") {
			return "", "", false
		}
	}
	if s == "" {
		return host, "", true
	}
	port = s[1:]
	if s[0] != ':' || port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return "", "", false
	}
	return host, port, true
}
