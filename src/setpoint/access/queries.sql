-- name: revision
-- How often users, tokens or sessions changed.
SELECT revision FROM access_revision WHERE id = 1;

-- name: raise_revision
-- Say that something changed, so that every server reads anew.
UPDATE access_revision SET revision = revision + 1 WHERE id = 1;

-- name: users
-- Every user without its password.
SELECT name, display_name, email, role, created_ms, created_by FROM access_users ORDER BY name;

-- name: password
-- The hash of a user's password.
SELECT password FROM access_users WHERE name = :name;

-- name: add_user
-- A new user.
INSERT INTO access_users (name, display_name, email, role, password, created_ms, created_by)
VALUES (:name, :display_name, :email, :role, :password, :created_ms, :created_by);

-- name: change_user
-- What a user is; the password apart.
UPDATE access_users SET display_name = :display_name, email = :email, role = :role WHERE name = :name;

-- name: set_password
-- Another hash of a user's password.
UPDATE access_users SET password = :password WHERE name = :name;

-- name: delete_user
-- Forget a user.
DELETE FROM access_users WHERE name = :name;

-- name: tokens
-- Every token, by the SHA-256 of what it is.
SELECT name, digest, role, created_ms, created_by, expires_ms, last_used_ms FROM access_tokens ORDER BY name;

-- name: add_token
-- A new token.
INSERT INTO access_tokens (name, digest, role, created_ms, created_by, expires_ms)
VALUES (:name, :digest, :role, :created_ms, :created_by, :expires_ms);

-- name: delete_token
-- Forget a token.
DELETE FROM access_tokens WHERE name = :name;

-- name: note_use
-- When a token was used last.
UPDATE access_tokens SET last_used_ms = :at_ms WHERE name = :name AND COALESCE(last_used_ms, 0) < :at_ms;

-- name: sessions
-- Every session, by the SHA-256 of its cookie.
SELECT digest, kind, subject, expires_ms FROM access_sessions;

-- name: add_session
-- A session that begins.
INSERT INTO access_sessions (digest, kind, subject, created_ms, expires_ms)
VALUES (:digest, :kind, :subject, :created_ms, :expires_ms);

-- name: delete_session
-- End a session.
DELETE FROM access_sessions WHERE digest = :digest;

-- name: delete_sessions
-- End every session of somebody.
DELETE FROM access_sessions WHERE kind = :kind AND subject = :subject;

-- name: delete_old_sessions
-- Forget sessions that ended by themselves.
DELETE FROM access_sessions WHERE expires_ms <= :now_ms;

-- name: surplus_sessions
-- Of somebody's sessions, the oldest beyond the newest few.
SELECT digest FROM access_sessions WHERE kind = :kind AND subject = :subject
ORDER BY created_ms DESC, digest LIMIT 1000 OFFSET :keep;
