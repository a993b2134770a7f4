package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/trail"
)

// guards is what the configuration says of whom to let in and of what to record, understood.
type guards struct {
	auditKeys trail.Keys
	address   bool
	proxies   []netip.Prefix
	json      shape
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
	if err := c.checkLimits(); err != nil {
		return nil, err
	}
	g.json = shape{depth: c.JSONDepth, members: c.JSONMembers}
	for _, origin := range c.CORSOrigins {
		if !validOrigin(origin, dev) {
			return nil, models.Errorf(models.KindInvalid, "PDEX_CORS_ORIGINS: an entry is not an origin like https://host")
		}
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

// maxHeldBody bounds the settings for bodies that are held in memory as a whole.
const maxHeldBody = 64 << 20

func (c *Config) checkLimits() error {
	for name, wrong := range map[string]bool{
		"PDEX_CLIENT_RATE":           c.ClientRate < 0,
		"PDEX_ADDRESS_RATE":          c.AddressRate < 0,
		"PDEX_CLIENT_BURST":          c.ClientBurst < 0,
		"PDEX_ADDRESS_BURST":         c.AddressBurst < 0,
		"PDEX_ADMIN_FAILURES":        c.AdminFailures < 0,
		"PDEX_MATCH_FAILURES":        c.MatchFailures < 0,
		"PDEX_MATCH_FAILURES_WINDOW": c.MatchFailures > 0 && c.MatchWindow <= 0,
		"PDEX_JSON_DEPTH":            c.JSONDepth < 0 || c.JSONDepth > maxScanDepth,
		"PDEX_JSON_MEMBERS":          c.JSONMembers < 0,
		"PDEX_STALL":                 c.Stall < 0,
		"PDEX_KICKOFF_BODY":          c.KickoffBody < 1 || c.KickoffBody > maxHeldBody,
		"PDEX_ADMIN_BODY":            c.AdminBody < 1 || c.AdminBody > maxHeldBody,
		"PDEX_CONSENT_BODY":          c.ConsentBody < 1 || c.ConsentBody > maxHeldBody,
		"PDEX_TOKEN_BODY":            c.TokenBody < 1 || c.TokenBody > maxHeldBody,
		"PDEX_REGISTRATION_BODY":     c.RegisterBody < 1 || c.RegisterBody > maxHeldBody,
		"PDEX_MATCH_BUNDLE":          c.Bundle < 1 || c.Bundle > models.MaxMemberBundle,
		"PDEX_MATCH_BODY":            c.MaxBody < 1,
		"PDEX_MATCH_MEMBERS":         c.MaxMembers < 1,
		"PDEX_MANIFEST_FILES":        c.ManifestFiles < 1,
		"PDEX_UPLOAD_BODY":           c.UploadBody < 1,
		"PDEX_BODY_TIMEOUT":          c.BodyTime <= 0,
		"PDEX_BODY_RATE":             c.BodyRate < 1,
	} {
		if wrong {
			return models.Errorf(models.KindInvalid, "%s: not within its bounds", name)
		}
	}
	return nil
}

// validOrigin reports whether text is an origin, of https outside of development.
func validOrigin(text string, dev bool) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && text == u.Scheme+"://"+u.Host && (u.Scheme == "https" || dev && u.Scheme == "http")
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
