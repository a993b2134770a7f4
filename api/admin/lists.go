package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"pdexbulk/api/answer"
	"pdexbulk/models"
	"pdexbulk/workflows"
)

// addListRoutes registers the routes by which many opt-outs, relationships or directory entries are loaded at once.
func (s *Service) addListRoutes(api huma.API, op func(method, path, id, summary string, status int) huma.Operation) {
	editors := func(o huma.Operation) huma.Operation {
		roles := []string{string(models.RoleOptOutEditor)}
		if o.Method == http.MethodGet {
			roles = append(roles, string(models.RoleOperator))
		}
		o.Metadata = map[string]any{RoleKey: roles}
		return o
	}
	huma.Register(api, editors(op(http.MethodPost, "/admin/lists", "start-list", "Load a file of opt-outs, relationships or directory entries", http.StatusAccepted)), s.startList)
	s.addUpload(api, editors(op(http.MethodPost, "/admin/lists/upload", "upload-list", "Load what is sent: CSV or NDJSON, by its Content-Type", http.StatusAccepted)))
	huma.Register(api, editors(op(http.MethodGet, "/admin/lists", "list-lists", "List loads, newest first", http.StatusOK)), s.listLists)
	huma.Register(api, editors(op(http.MethodGet, "/admin/lists/{id}", "get-list", "Show a load with its counts", http.StatusOK)), s.getList)
	huma.Register(api, editors(op(http.MethodGet, "/admin/lists/{id}/rejects", "list-list-rejects", "List the rows a load could not take", http.StatusOK)), s.listListRejects)
	huma.Register(api, editors(op(http.MethodPost, "/admin/lists/{id}/cancel", "cancel-list", "Stop a load; what it had taken in stays", http.StatusAccepted)), s.cancelList)
}

type listBody struct {
	Kind   models.ListKind `json:"kind" enum:"opt-outs,relationships,providers,network"`
	Source string          `json:"source" minLength:"1" maxLength:"2000" doc:"a file: path, file:///path or s3://bucket/path, within PDEX_IMPORT_ROOTS; inflated when its name ends in .gz"`
	Format string          `json:"format,omitempty" enum:"csv,ndjson" default:"csv" doc:"csv: a line that names the columns, and a row a line"`
	DryRun bool            `json:"dryRun,omitempty" doc:"check and count, change nothing"`
}

type startedList struct {
	Location string `header:"Location"`
	Body     models.ListImport
}

func (s *Service) newList(ctx context.Context, kind models.ListKind, format string, dry bool) *models.ListImport {
	return &models.ListImport{
		ID: models.NewID(), Kind: kind, Format: format, DryRun: dry, State: models.StateAccepted, CreatedBy: ActorOf(ctx).ID,
		CreatedAt: s.now().UTC().Truncate(time.Millisecond),
	}
}

func (s *Service) startList(ctx context.Context, in *struct {
	Key
	Body listBody
},
) (*startedList, error) {
	if err := checkSource(in.Body.Source, s.ImportRoots); err != nil {
		return nil, problem(err)
	}
	id, there, err := s.claimList(ctx, in.IdempotencyKey, in.Body)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	if there != nil {
		return &startedList{"/admin/lists/" + there.ID, *there}, nil
	}
	l := s.newList(ctx, in.Body.Kind, in.Body.Format, in.Body.DryRun)
	l.ID, l.Source = id, in.Body.Source
	if err := s.beginList(ctx, l, in.IdempotencyKey); err != nil {
		return nil, s.fault(ctx, err)
	}
	return &startedList{"/admin/lists/" + l.ID, *l}, nil
}

// claimList returns the id of the load that a request makes, or the load when the request made it before.
func (s *Service) claimList(ctx context.Context, key string, request any) (string, *models.ListImport, error) {
	id, again, err := s.claim(ctx, "list", key, request)
	if err != nil || !again {
		return id, nil, err
	}
	l, err := s.Store.ListImport(ctx, id)
	if gone, err := missing(err); gone || err != nil {
		return id, nil, err
	}
	if l.State == models.StateAccepted { // the request that made it may have broken off before its run began
		err = s.runList(ctx, l)
	}
	return id, l, err
}

// beginList records a load and starts its run. Where that fails, the same request with its key can start it yet; without a key nobody comes
// back to the load, and it is closed.
func (s *Service) beginList(ctx context.Context, l *models.ListImport, key string) error {
	if err := s.Store.CreateListImport(ctx, l); err != nil {
		return errors.Join(err, s.dropUpload(ctx, l))
	}
	err := s.runList(ctx, l)
	if err == nil || key != "" {
		return err
	}
	if ferr := s.Store.FinishListImport(context.WithoutCancel(ctx), l.ID, models.StateFailed, "its workflow could not be started", s.now()); ferr != nil {
		s.Log.ErrorContext(ctx, "a load that was not started could not be closed", "load", l.ID, "error", ferr.Error())
	}
	return errors.Join(err, s.dropUpload(ctx, l))
}

// dropUpload removes what was uploaded for a load.
func (s *Service) dropUpload(ctx context.Context, l *models.ListImport) error {
	if l.BlobKey == "" {
		return nil
	}
	return s.Files.Delete(context.WithoutCancel(ctx), l.BlobKey)
}

// runList starts the run of a load. One that is there already is as good.
func (s *Service) runList(ctx context.Context, l *models.ListImport) error {
	_, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ListID(l.ID), TaskQueue: s.TaskQueue, TypedSearchAttributes: workflows.Attributes("admin", "list-"+string(l.Kind), "accepted"),
	}, workflows.LoadList, l.ID)
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the load could not be started; try again").Wait(5).Because(err)
	}
	return nil
}

var uploadFormats = map[string]string{"text/csv": models.ListCSV, "application/x-ndjson": models.ListNDJSON, "application/fhir+ndjson": models.ListNDJSON}

// addUpload registers the route that takes a body of any length, which goes to the file store as it comes.
func (s *Service) addUpload(api huma.API, op huma.Operation) {
	op.Parameters = []*huma.Param{
		{Name: "kind", In: "query", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"opt-outs", "relationships", "providers", "network"}}},
		{Name: "dryRun", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean}},
		{Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": {}, "application/x-ndjson": {}}}
	op.Responses = map[string]*huma.Response{"202": {Description: "the load"}, "default": {Description: "an error: problem document"}}
	api.OpenAPI().AddOperation(&op)
	api.Adapter().Handle(&op, op.Middlewares.Handler(func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		if err := s.upload(w, r.WithContext(hc.Context())); err != nil {
			answer.Refuse(w, r, s.Log, err)
		}
	}))
}

func (s *Service) upload(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	kind, dry := models.ListKind(r.URL.Query().Get("kind")), r.URL.Query().Get("dryRun") == "true"
	switch kind {
	case models.ListOptOuts, models.ListRelationships, models.ListProviders, models.ListNetwork:
	default:
		return models.Errorf(models.KindUnprocessable, "must be opt-outs, relationships, providers or network").At("query.kind")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	format, ok := uploadFormats[media]
	if err != nil || !ok {
		return models.Errorf(models.KindMediaType, "send text/csv or application/x-ndjson").At("Content-Type")
	}
	l := s.newList(ctx, kind, format, dry)
	l.BlobKey = "lists/" + l.ID
	out, err := s.Files.Create(ctx, l.BlobKey)
	if err != nil {
		return err
	}
	defer out.Abort()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), http.MaxBytesReader(w, r.Body, s.UploadBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return models.Errorf(models.KindTooLarge, "the body is over the limit of %d bytes; put the file where imports may read it", s.UploadBody)
		}
		return models.Errorf(models.KindInvalid, "the body could not be read to its end, or not be stored").Because(err)
	}
	id, there, err := s.claimList(ctx, r.Header.Get("Idempotency-Key"), []any{kind, format, dry, sum.Sum(nil)})
	if err != nil {
		return err
	}
	if there == nil {
		if err := out.Commit(); err != nil {
			return err
		}
		l.ID = id
		if err := s.beginList(ctx, l, r.Header.Get("Idempotency-Key")); err != nil {
			return err
		}
		there = l
	}
	body, err := json.Marshal(there)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/admin/lists/"+there.ID)
	answer.Write(w, http.StatusAccepted, "application/json", body)
	return nil
}

func (s *Service) listLists(ctx context.Context, in *Page) (*listOf[models.ListImport], error) {
	if err := checkCursor(in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.Store.ListImports(ctx, in.Cursor, in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(rows, in.Limit, func(l models.ListImport) string { return l.ID }), nil
}

func (s *Service) getList(ctx context.Context, in *ByID) (*struct{ Body models.ListImport }, error) {
	if err := checkID(in.ID); err != nil {
		return nil, err
	}
	l, err := s.Store.ListImport(ctx, in.ID)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &struct{ Body models.ListImport }{*l}, nil
}

func (s *Service) listListRejects(ctx context.Context, in *struct {
	ByID
	Page
},
) (*listOf[models.ListReject], error) {
	if _, err := s.getList(ctx, &in.ByID); err != nil {
		return nil, err
	}
	var after uint64
	if in.Cursor != "" {
		var err error
		if after, err = strconv.ParseUint(in.Cursor, 10, 62); err != nil {
			return nil, badCursor()
		}
	}
	rows, err := s.Store.ListRejects(ctx, in.ID, int64(after), in.ask())
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return newList(rows, in.Limit, func(r models.ListReject) string { return strconv.FormatInt(r.Line, 10) }), nil
}

func (s *Service) cancelList(ctx context.Context, in *ByID) (*struct{ Body models.ListImport }, error) {
	l, err := s.getList(ctx, in)
	if err != nil || l.Body.State.Done() {
		return l, err
	}
	err = s.Temporal.CancelWorkflow(ctx, workflows.ListID(in.ID), "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return nil, s.fault(ctx, models.Errorf(models.KindUnavailable, "the load could not be cancelled; try again").Wait(5).Because(err))
	}
	return l, nil
}
