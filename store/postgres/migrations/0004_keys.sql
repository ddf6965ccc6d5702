-- The keys that actors' profiles are sealed with. They are all that has to be deleted for a profile to be forgotten.

CREATE TABLE actor_keys (actor text PRIMARY KEY, key bytea NOT NULL);
