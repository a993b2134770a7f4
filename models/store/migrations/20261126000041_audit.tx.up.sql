-- The audit log. Events are written to audit_inbox, in the transaction of what they tell of where there is one. A sealer moves
-- them to audit_log, where each has its place in one chain (models/trail). Neither is ever changed: triggers refuse it, and an
-- event leaves the inbox only when the log has it.
CREATE TABLE audit_inbox (
    id         uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor      text NOT NULL,
    client     text NOT NULL,
    action     text NOT NULL,
    outcome    text NOT NULL,
    status     integer NOT NULL,
    job        uuid,
    grp        uuid,
    target     text NOT NULL,
    members    uuid[],
    counts     json,                                -- json, not jsonb: its text is what was hashed
    purpose    text NOT NULL,
    reason     text NOT NULL,
    source     text NOT NULL,
    route      text NOT NULL
);
CREATE TABLE audit_log (
    seq        bigint PRIMARY KEY,
    LIKE audit_inbox,
    key_id     text NOT NULL,
    hash       bytea NOT NULL
);
CREATE UNIQUE INDEX audit_log_id ON audit_log (id);
CREATE INDEX audit_log_client ON audit_log (client, seq);
CREATE INDEX audit_log_actor ON audit_log (actor, seq);
CREATE INDEX audit_log_action ON audit_log (action, seq);
CREATE INDEX audit_log_job ON audit_log (job, seq) WHERE job IS NOT NULL;
CREATE INDEX audit_log_grp ON audit_log (grp, seq) WHERE grp IS NOT NULL;
CREATE INDEX audit_log_members ON audit_log USING gin (members) WHERE members IS NOT NULL;
CREATE INDEX audit_log_at ON audit_log USING brin (at);
-- Which Groups a member is in, for what was done with those.
CREATE INDEX group_members_member ON group_members (member_id);

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION audit_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM audit_log WHERE id = OLD.id) THEN
        RAISE EXCEPTION 'the audit log does not have this event yet' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_log_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_inbox_refuse BEFORE UPDATE OR TRUNCATE ON audit_inbox FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_inbox_sealed BEFORE DELETE ON audit_inbox FOR EACH ROW EXECUTE FUNCTION audit_sealed();
