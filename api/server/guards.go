package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// guards is what the configuration says of whom to let in and of what to record, understood.
type guards struct {
	auditKeys trail.Keys
	address   bool
	proxies   []netip.Prefix
}

// shortestToken is the least length of PDEX_ADMIN_TOKEN outside of development.
const shortestToken = 16

func (c *Config) guards(dev bool) (*guards, error) {
	g := &guards{address: c.AuditAddress}
	var err error
	if g.auditKeys, err = trail.ParseKeys(c.AuditKeys.Reveal()); err != nil {
		return nil, models.Errorf(models.KindInvalid, "PDEX_AUDIT_KEYS: not usable").Because(err)
	}
	if !dev && !g.auditKeys.Keyed() {
		return nil, models.Errorf(models.KindInvalid, "PDEX_AUDIT_KEYS is missing; only PDEX_DEV runs without")
	}
	if token := c.AdminToken.Reveal(); !dev && token != "" && len(token) < shortestToken {
		return nil, models.Errorf(models.KindInvalid, "PDEX_ADMIN_TOKEN: shorter than %d characters", shortestToken)
	}
	for _, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, models.Errorf(models.KindInvalid, "PDEX_TRUSTED_PROXIES: an entry is not a network like 10.0.0.0/8")
		}
		g.proxies = append(g.proxies, network.Masked())
	}
	return g, nil
}

// recorded is the address a request is recorded with.
func (g *guards) recorded(r *http.Request) string {
	if !g.address {
		return ""
	}
	return g.source(r)
}

// source is the network address a request came from: of the connection, or where that is a trusted proxy's, of the last hop in
// X-Forwarded-For that is not. What a stranger writes there is never believed.
func (g *guards) source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	at = at.Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.trusted(at); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap().WithZone("")
	}
	return at.String()
}

func (g *guards) trusted(at netip.Addr) bool {
	for _, network := range g.proxies {
		if network.Contains(at) {
			return true
		}
	}
	return false
}
