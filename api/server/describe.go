package server

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/api/admin"
	"pdexbulk/api/auth"
	"pdexbulk/api/bulk"
)

// Describe returns the OpenAPI description of everything served, as YAML, without serving it.
func Describe() ([]byte, error) {
	api := newAPI(http.NewServeMux())
	new(bulk.Service).AddRoutes(api)
	new(admin.Service).AddRoutes(api)
	new(metadata).addRoute(api)
	new(definitions).addRoutes(api)
	describeOthers(api)
	return api.OpenAPI().YAML()
}

// describeOthers adds the routes that are served without Huma, so that the description is whole. Each is Handler's to serve.
func describeOthers(api huma.API) {
	add := func(method, path, id, tag, summary string, responses map[string]*huma.Response) *huma.Operation {
		op := &huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag}, Responses: responses,
			Security: []map[string][]string{}, // none
		}
		api.OpenAPI().AddOperation(op)
		return op
	}
	answers := func(byStatus map[string]string) map[string]*huma.Response {
		out := map[string]*huma.Response{}
		for status, description := range byStatus {
			out[status] = &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {}}}
		}
		return out
	}

	token := add(http.MethodPost, auth.TokenPath, "token", "SMART", "Get an access token (SMART Backend Services)",
		answers(map[string]string{"200": "an access token", "400": "an error of RFC 6749 section 5.2", "503": "try again"}))
	form := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"grant_type", "scope", "client_assertion_type", "client_assertion"},
		Properties: map[string]*huma.Schema{
			"grant_type":            {Type: huma.TypeString, Enum: []any{"client_credentials"}},
			"scope":                 {Type: huma.TypeString},
			"client_assertion_type": {Type: huma.TypeString, Enum: []any{"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}},
			"client_assertion":      {Type: huma.TypeString, Description: "a JWT signed with RS384 or ES384 by a registered key"},
		},
	}
	token.RequestBody = &huma.RequestBody{
		Required: true, Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: form}},
	}
	add(http.MethodGet, auth.KeysPath, "keys", "SMART", "The public keys tokens are signed with (RFC 7517)",
		answers(map[string]string{"200": "a JWK set"}))
	add(http.MethodGet, auth.DiscoveryPath, "smart-configuration", "SMART", "The SMART configuration",
		answers(map[string]string{"200": "endpoints, scopes and algorithms"}))
	add(http.MethodGet, "/healthz", "healthz", "Health", "Whether the process is alive",
		answers(map[string]string{"200": "it is"}))
	add(http.MethodGet, "/readyz", "readyz", "Health", "Whether everything the process needs answers",
		answers(map[string]string{"200": "it does", "503": "something does not, or the process is stopping"}))
	for _, way := range []string{"encode", "decode"} {
		op := add(http.MethodPost, "/codec/"+way, "codec-"+way, "Admin", "Temporal's codec server: "+way+" payloads (served when payloads are sealed)",
			answers(map[string]string{"200": "payloads", "401": "an administrator's token is needed"}))
		op.Security = []map[string][]string{{"admin": {}}}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {}}}
	}
}
