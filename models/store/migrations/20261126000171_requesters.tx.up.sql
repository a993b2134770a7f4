-- All identifiers of the organisation that submitted a consent, canonical: another of its clients may not be known by the first.
ALTER TABLE consents ADD COLUMN requesters text[] NOT NULL DEFAULT '{}';
