"""The first records: collections, desktops, jobs, images, sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_collections()
    _create_collection_values()
    _create_provisioning_settings()
    _create_reference_desktops()
    _create_desktops()
    _create_memberships()
    _create_jobs()
    _create_job_desktops()
    _create_images()
    _create_sessions()


def _create_collections() -> None:
    op.create_table(
        "collections",
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "type", sa.Integer, sa.CheckConstraint("type IN (1, 2, 3)", name="type"), nullable=False
        ),
        sa.Column("is_managed", sa.Boolean, nullable=False),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("security_descriptor", sa.Text, nullable=True),
        sa.Column("vm_farm_settings", sa.Text, nullable=True),
        sa.Column("user_vhd_setting", sa.Text, nullable=True),
        sa.Column("icon", sa.LargeBinary, nullable=True),
        sa.Column("show_in_portal", sa.Boolean, nullable=False),
        sa.Column("is_ha", sa.Boolean, nullable=False),
        sa.Column("is_user_admin", sa.Boolean, nullable=False),
        sa.Column("rollback_enabled", sa.Boolean, nullable=False),
        sa.Column(
            "state",
            sa.Integer,
            sa.CheckConstraint("state IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)", name="state"),
            nullable=False,
        ),
        sa.Column("job_guid", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("alias_key", name=op.f("collections_key")),
        sa.UniqueConstraint("name_key", name=op.f("collections_name_key")),
    )


def _create_collection_values() -> None:
    op.create_table(
        "collection_values",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=True),
        sa.Column("text", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("collection_key", "key", name=op.f("collection_values_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.alias_key"],
            name=op.f("collection_values_collection_key"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("(number IS NULL) <> (text IS NULL)", name="one_value"),
    )


def _create_provisioning_settings() -> None:
    op.create_table(
        "provisioning_settings",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("vhd_type", sa.Text, nullable=False),
        sa.Column("base_vm_location", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("name_prefix", sa.Text, nullable=False),
        sa.Column("name_prefix_key", sa.Text, nullable=False),
        sa.Column("name_start_index", sa.BigInteger, nullable=False),
        sa.Column("local_vm_location", sa.Text, nullable=False),
        sa.Column("local_gold_location", sa.Text, nullable=False),
        sa.Column("run_from_smb", sa.Boolean, nullable=False),
        sa.Column("smb_location", sa.Text, nullable=False),
        sa.Column("smb_streaming", sa.Boolean, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("ou", sa.Text, nullable=False),
        sa.Column("unattend_xml", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("collection_key", name=op.f("provisioning_settings_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.alias_key"],
            name=op.f("provisioning_settings_collection_key"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("name_prefix_key", name=op.f("provisioning_settings_name_prefix_key")),
    )


def _create_reference_desktops() -> None:
    op.create_table(
        "reference_desktops",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=True),
        sa.Column("machine_name", sa.Text, nullable=True),
        sa.Column("host", sa.Text, nullable=True),
        sa.Column("guid", sa.Text, nullable=True),
        sa.Column("os_version", sa.Text, nullable=True),
        sa.Column("ram_mib", sa.BigInteger, nullable=True),
        sa.Column("architecture", sa.Text, nullable=True),
        sa.Column("remote_fx", sa.Boolean, nullable=False),
        sa.Column("adapters", sa.JSON, nullable=True),
        sa.PrimaryKeyConstraint("collection_key", name=op.f("reference_desktops_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.alias_key"],
            name=op.f("reference_desktops_collection_key"),
            ondelete="CASCADE",
        ),
    )


def _create_desktops() -> None:
    op.create_table(
        "desktops",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("home_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("uuid", sa.Uuid, nullable=False),
        sa.Column("mac", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column(
            "disk_kind",
            sa.Text,
            sa.CheckConstraint("disk_kind IN ('DiffDisk', 'Clone')", name="disk_kind"),
            nullable=False,
        ),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column(
            "status",
            sa.Integer,
            sa.CheckConstraint("status IN (0, 2, 3)", name="status"),
            nullable=False,
        ),
        sa.Column("identity_set", sa.Boolean, nullable=False),
        sa.Column("user", sa.Text, nullable=True),
        sa.Column("user_domain", sa.Text, nullable=True),
        sa.Column("user_key", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("name_key", name=op.f("desktops_key")),
        sa.CheckConstraint("(user_key IS NULL) = (user_domain IS NULL)", name="assigned"),
    )
    op.create_index("desktops_collection", "desktops", ["collection_key"], unique=False)
    op.create_index("desktops_home", "desktops", ["home_key"], unique=False)
    op.create_index("desktops_user", "desktops", ["collection_key", "user_key"], unique=True)


def _create_memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("collection_key", "name_key", name=op.f("memberships_key")),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("guid", sa.Text, nullable=False),
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column(
            "action",
            sa.Text,
            sa.CheckConstraint(
                "action IN ('Create', 'Update', 'Delete', 'Patch', 'Prep')", name="action"
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Integer,
            sa.CheckConstraint("state IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)", name="state"),
            nullable=False,
        ),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modified", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("guid", name=op.f("jobs_key")),
        sa.CheckConstraint("(ended IS NOT NULL) = (state IN (7, 8, 10, 12))", name="ended"),
        sa.CheckConstraint("cancel_requested IS NULL OR state <> 10", name="never_completed"),
        sa.CheckConstraint("cancel_requested IS NOT NULL OR state <> 11", name="cancel_requested"),
        sa.CheckConstraint("cancel_requested IS NULL OR action <> 'Delete'", name="delete_goes_on"),
    )
    op.create_index("jobs_collection", "jobs", ["collection_key"], unique=False)
    op.create_index(
        "jobs_one_running",
        "jobs",
        ["collection_key"],
        unique=True,
        sqlite_where=sa.text("ended IS NULL AND action <> 'Prep'"),
        postgresql_where=sa.text("ended IS NULL AND action <> 'Prep'"),
    )


def _create_job_desktops() -> None:
    op.create_table(
        "job_desktops",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("ordinal", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("uuid", sa.Uuid, nullable=False),
        sa.Column("mac", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column(
            "disk_kind",
            sa.Text,
            sa.CheckConstraint("disk_kind IN ('DiffDisk', 'Clone')", name="disk_kind"),
            nullable=False,
        ),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column(
            "status",
            sa.Text,
            sa.CheckConstraint(
                "status IN ('Pending', 'InProgress', 'Complete', 'Failed', 'Cancelled')",
                name="status",
            ),
            nullable=False,
        ),
        sa.Column("intended", sa.Text, nullable=True),
        sa.Column("done", sa.Text, nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("undone", sa.JSON, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=True),
        sa.Column("previous_image", sa.Text, nullable=False),
        sa.Column("was_running", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("job", "ordinal", name=op.f("job_desktops_key")),
        sa.ForeignKeyConstraint(["job"], ["jobs.guid"], name=op.f("job_desktops_job")),
    )
    op.create_index("job_desktops_name", "job_desktops", ["name_key"], unique=False)


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("disk", sa.Text, nullable=False),
        sa.Column("virtual_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column(
            "os",
            sa.Text,
            sa.CheckConstraint("os IN ('linux', 'windows')", name="os"),
            nullable=False,
        ),
        sa.Column(
            "firmware",
            sa.Text,
            sa.CheckConstraint("firmware IN ('bios', 'uefi', 'kernel')", name="firmware"),
            nullable=False,
        ),
        sa.Column("memory_mib", sa.BigInteger, nullable=False),
        sa.Column("vcpus", sa.BigInteger, nullable=False),
        sa.Column(
            "disk_bus",
            sa.Text,
            sa.CheckConstraint("disk_bus IN ('virtio', 'sata', 'ide')", name="disk_bus"),
            nullable=False,
        ),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("kernel", sa.Text, nullable=True),
        sa.Column("initrd", sa.Text, nullable=True),
        sa.Column("cmdline", sa.Text, nullable=False),
        sa.Column("generalised", sa.Boolean, nullable=False),
        sa.Column("job", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("name_key", "version", name=op.f("images_key")),
        sa.UniqueConstraint("job", name=op.f("images_job")),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("host_key", sa.Text, nullable=False),
        sa.Column("session_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("vm", sa.Text, nullable=False),
        sa.Column("vm_uuid", sa.Uuid, nullable=False),
        sa.Column("guest_key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host_key", "session_id", name=op.f("sessions_key")),
        sa.UniqueConstraint(
            "host_key", "vm_uuid", "guest_key", name=op.f("sessions_host_key_vm_uuid_guest_key")
        ),
    )
