"""The fake AWS of these tests."""

from __future__ import annotations

from tests.testbeds.aws.fixtures import aws, fake_aws

__all__ = ["aws", "fake_aws"]  # fixtures count where they are imported
