package bulk

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

func asMaxBytes(err error) (*http.MaxBytesError, bool) {
	return errors.AsType[*http.MaxBytesError](err)
}

// parseQuery reads a query in its order.
func parseQuery(raw string) ([]parameter, error) {
	var out []parameter
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, nerr := url.QueryUnescape(name)
		v, verr := url.QueryUnescape(value)
		if nerr != nil || verr != nil {
			return nil, models.Errorf(models.KindInvalid, "the query is not percent-encoded as it should be")
		}
		out = append(out, parameter{n, v, n})
	}
	return out, nil
}

// formats are the spellings of NDJSON. A plus sign that was not percent-encoded arrives as a space.
var formats = []string{"application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"}

// exportParams checks and resolves what an export was asked for. What is not supported is refused, never ignored.
func (s *Service) exportParams(given []parameter, op models.Operation, groupID string) (models.ExportParams, error) {
	p := models.ExportParams{GroupID: groupID}
	seen := map[string]bool{}
	for _, g := range given {
		if seen[g.name] && g.name != "_type" {
			return p, models.Errorf(models.KindInvalid, "this parameter may be given once only").At(g.where)
		}
		seen[g.name] = true
		var err error
		switch g.name {
		case "_outputFormat":
			if !slices.Contains(formats, g.value) {
				err = models.Errorf(models.KindInvalid, "the supported format is application/fhir+ndjson")
			}
		case "_since":
			p.Since, err = instant(g.value)
			if err == nil && p.Since.After(s.now()) {
				err = models.Errorf(models.KindInvalid, "the instant lies in the future")
			}
		case "_until":
			p.Until, err = instant(g.value)
		case "_type":
			err = addTypes(&p, g.value)
		case "exportType":
			p.ExportType, err = exportType(op, g.value)
		default:
			err = models.Errorf(models.KindInvalid, "this parameter is not supported")
		}
		if e, ok := errors.AsType[*models.Error](err); ok {
			return p, e.At(g.where)
		}
	}
	slices.Sort(p.Types)
	p.Types = slices.Compact(p.Types)
	return p, nil
}

func exportType(op models.Operation, value string) (string, error) {
	switch {
	case op != models.OpDataExport:
		return "", models.Errorf(models.KindInvalid, "this parameter belongs to $davinci-data-export")
	case value == p2pExport:
		return value, nil
	case value == strings.TrimSuffix(p2pExport, "#payertopayer"):
		return "", models.Errorf(models.KindInvalid, "the part behind # is missing; in a URL, write the # as %%23")
	}
	return "", models.Errorf(models.KindInvalid, "for this Group the export type is %s", p2pExport)
}

// instant reads a FHIR instant. A plus sign that was not percent-encoded arrives as a space.
func instant(value string) (*time.Time, error) {
	t, err := fhir.ParseInstant(strings.Replace(value, " ", "+", 1))
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "not an instant of the form 2026-01-31T12:00:00Z")
	}
	t = t.UTC()
	return &t, nil
}

func addTypes(p *models.ExportParams, list string) error {
	for name := range strings.SplitSeq(list, ",") {
		code, ok := fhir.TypeCode(strings.TrimSpace(name))
		if !ok {
			return models.Errorf(models.KindInvalid, "not a resource type this server exports")
		}
		if p.GroupID != "" && !fhir.InPatientCompartment(code) {
			return models.Errorf(models.KindInvalid, "%s is not in the Patient compartment", fhir.TypeName(code))
		}
		p.Types = append(p.Types, code)
	}
	return nil
}
