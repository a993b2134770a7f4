package fhir

import "encoding/json"

// Bundle is a list of resources: a search result, or a batch with its answers.
type Bundle struct {
	ID        string        `json:"id,omitempty"`
	Meta      *Meta         `json:"meta,omitempty"`
	Type      string        `json:"type"`
	Timestamp string        `json:"timestamp,omitempty"`
	Total     *int          `json:"total,omitempty"`
	Link      []BundleLink  `json:"link,omitempty"`
	Entry     []BundleEntry `json:"entry,omitempty"`
}

// BundleLink is a link of a page of results.
type BundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// BundleEntry is one resource of a Bundle, kept as it came.
type BundleEntry struct {
	FullURL  string          `json:"fullUrl,omitempty"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Search   *BundleSearch   `json:"search,omitempty"`
	Request  *BundleRequest  `json:"request,omitempty"`
	Response *BundleResponse `json:"response,omitempty"`
}

// BundleSearch says why an entry is in a search result: match, include or outcome.
type BundleSearch struct {
	Mode string `json:"mode,omitempty"`
}

// BundleRequest is what an entry of a batch or of deletes asks for.
type BundleRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// BundleResponse is what became of an entry of a batch.
type BundleResponse struct {
	Status       string          `json:"status"`
	Location     string          `json:"location,omitempty"`
	ETag         string          `json:"etag,omitempty"`
	LastModified string          `json:"lastModified,omitempty"`
	Outcome      json.RawMessage `json:"outcome,omitempty"`
}

// ParseBundle reads a Bundle. The error is a models.Error of KindInvalid without content.
func ParseBundle(data []byte) (Bundle, error) {
	var b Bundle
	err := decode(data, "Bundle", &b)
	return b, err
}

// MarshalJSON writes the resource with its resourceType.
func (b Bundle) MarshalJSON() ([]byte, error) {
	type elements Bundle
	return json.Marshal(struct {
		ResourceType string `json:"resourceType"`
		elements
	}{"Bundle", elements(b)})
}
