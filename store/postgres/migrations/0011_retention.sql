-- Retention removes idempotency keys, which are no events.

DROP TRIGGER keys_are_kept ON keys;
CREATE TRIGGER keys_are_kept BEFORE UPDATE OR TRUNCATE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
