package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/api/bulk"
	"pdexbulk/api/capability"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/search"
)

// metadata serves the CapabilityStatement, to everybody (https://hl7.org/fhir/R4/http.html#capabilities).
type metadata struct {
	body []byte
	log  *slog.Logger
}

func newMetadata(about capability.Server, log *slog.Logger) (*metadata, error) {
	var groups, consents []capability.SearchParam
	for _, p := range bulk.GroupSearch {
		groups = append(groups, capability.SearchParam{Name: p.Name, Type: p.Type, Definition: p.Definition})
	}
	for _, p := range bulk.ConsentSearch {
		consents = append(consents, capability.SearchParam{Name: p.Name, Type: p.Type, Definition: p.Definition})
	}
	filters := map[string][]capability.SearchParam{}
	for code := int16(1); fhir.TypeName(code) != ""; code++ {
		for _, p := range search.Parameters(code) {
			name := fhir.TypeName(code)
			filters[name] = append(filters[name], capability.SearchParam{Name: p.Name, Type: string(p.Kind)})
		}
	}
	about.Version, about.Types, about.Search, about.Consents, about.Filters = version, resourceTypes(), groups, consents, filters
	body, err := capability.Build(about)
	if err != nil {
		return nil, fmt.Errorf("write the CapabilityStatement: %w", err)
	}
	return &metadata{body, log}, nil
}

func (m *metadata) addRoute(api huma.API) {
	op := &huma.Operation{
		OperationID: "metadata", Method: http.MethodGet, Path: auth.FHIRPath + "/metadata", Summary: "What this server can do",
		Tags: []string{"FHIR"}, Security: []map[string][]string{}, // none
		Responses: map[string]*huma.Response{"200": {Description: "a CapabilityStatement"}},
	}
	api.OpenAPI().AddOperation(op)
	api.Adapter().Handle(op, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		// A plus sign that was not percent-encoded arrives as a space.
		format, _, _ := strings.Cut(strings.ReplaceAll(r.URL.Query().Get("_format"), " ", "+"), ";")
		if !slices.Contains([]string{"", "json", "application/json", "application/fhir+json", "text/json"}, strings.ToLower(format)) {
			err := models.Errorf(models.KindInvalid, "the only format is application/fhir+json").At("_format")
			answer.Outcome(w, r, m.log, err)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		answer.Write(w, http.StatusOK, answer.FHIRJSON, m.body)
	})
}
