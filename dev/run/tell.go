package run

import (
	"io"
	"path/filepath"
	"text/template"

	"pdexbulk/dev/seed"
	"pdexbulk/dev/system"
)

// tell prints where everything is, and commands that work as they are when pasted into a shell in the repository.
func tell(out io.Writer, sys *system.System, dir string) {
	// Nobody is left to tell of a terminal that has gone.
	_ = told.Execute(out, map[string]string{
		"Root": sys.Root, "Base": sys.Base, "UI": sys.Stack.TemporalUIURL, "Admin": sys.AdminToken, "Dir": dir,
		"Seed": filepath.Join(dir, "seed"), "Request": filepath.Join(dir, "seed", seed.RequestFile),
		"Payer": partners[0].ID, "Backend": partners[1].ID,
	})
}

var told = template.Must(template.New("").Parse(`
FHIR base      {{.Base}}
Admin API      {{.Root}}/admin
API docs       {{.Root}}/docs   (OpenAPI: {{.Root}}/openapi.yaml)
Temporal UI    {{.UI}}
Logs           {{.Dir}}/logs
Partners       {{.Payer}} (payer), {{.Backend}} (may export everything)

# Imports and jobs, for administrators:
ROOT={{.Root}}
ADMIN='Authorization: Bearer {{.Admin}}'
curl -s -H "$ADMIN" '{{.Root}}/admin/imports?limit=5'
curl -s -H "$ADMIN" '{{.Root}}/admin/jobs?limit=5'
curl -s -H "$ADMIN" -H 'X-Reason: trying it out' -H 'Content-Type: application/json' {{.Root}}/admin/imports -d '{"source":"{{.Seed}}","mode":"backfill"}'

# The three moves of a client: get a token (good for five minutes), kick off, poll until the manifest is there.
token() { echo "Authorization: Bearer $(dev/bin/dev token --client ${1:-{{.Payer}}})"; }
kickoff() { curl -s -D- -o /dev/null -H 'Accept: application/fhir+json' -H 'Prefer: respond-async' "$@" | tr -d '\r' | sed -n 's/^[Cc]ontent-[Ll]ocation: //p'; }
poll() { while curl -s -o /dev/null -w '%{http_code}' -H "$2" "$1" | grep -Eq '202|429'; do sleep 1; done; curl -s -H "$2" "$1"; echo; }

# Match: ask for people, and note the Group of those who matched:
AUTH=$(token)
JOB=$(kickoff -H "$AUTH" -H 'Content-Type: application/fhir+json' '{{.Base}}/Group/$bulk-member-match' --data-binary '@{{.Request}}')
poll "$JOB" "$AUTH"
GROUP=$(curl -s -H "$AUTH" "$JOB" | grep -o '"url":"[^"]*\.Group\.ndjson"' | cut -d'"' -f4 | while read -r f; do curl -s -H "$AUTH" "$f"; done | grep '"code":"match"' | grep -o '^{"resourceType":"Group","id":"[^"]*' | cut -d'"' -f8)

# Export what may leave of them, and look into the first file:
JOB=$(kickoff -H "$AUTH" '{{.Base}}/Group/'$GROUP'/$davinci-data-export?exportType=hl7.fhir.us.davinci-pdex%23payertopayer')
poll "$JOB" "$AUTH"
curl -s --compressed -H "$AUTH" "$(poll "$JOB" "$AUTH" | grep -o '"url":"[^"]*"' | head -1 | cut -d'"' -f4)" | head -c 600

# Export two types of everything, as {{.Backend}}:
AUTH=$(token {{.Backend}})
JOB=$(kickoff -H "$AUTH" '{{.Base}}/$export?_type=Patient,Coverage')
poll "$JOB" "$AUTH"

Ctrl-C stops it. What was stored is kept; "make clean" throws it away.
`))
