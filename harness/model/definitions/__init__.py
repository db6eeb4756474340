"""What people declare: CPUs, operating systems, databases, applications, suites, load profiles, matrices.

The models are strict and frozen, refuse unknown keys, and do no input or output; ``harness.reading`` reads
them from files. They live here, not there, because planning, deployment and judging all meet through them.
"""

from harness.model.definitions.account import Account, Accounts, Audit, WrongPasswords
from harness.model.definitions.additions import Additions, Call
from harness.model.definitions.application import (
    Application,
    Artifact,
    ComposeFile,
    Former,
    Needs,
    Playbook,
    Plugins,
    Reached,
    SchemaStep,
    Template,
    Variant,
    War,
)
from harness.model.definitions.base import (
    Architecture,
    Bilingual,
    Definition,
    Entry,
    SqlFamily,
    Strings,
    Text,
    size_in_bytes,
)
from harness.model.definitions.databases import DatabaseImage, Databases
from harness.model.definitions.efforts import Effort, Efforts, Work
from harness.model.definitions.endpoint import Endpoint, EndpointRecipe, EndpointTls
from harness.model.definitions.gate import Policy, Waiver, Waivers
from harness.model.definitions.http import Capture, Http, Request, Resource, Session, Tls
from harness.model.definitions.image import ImageLicence, ImageRecipe
from harness.model.definitions.imported import Imported
from harness.model.definitions.interface import Modbus, Mqtt, MqttUser, OpcUa, OpcUaSecurity, OpcUaUser
from harness.model.definitions.issuer import Commission, IssuerProfile
from harness.model.definitions.lab import Accelerator, Foundation, Host, Hosts, Middleware, Runtime, Servlet
from harness.model.definitions.matrix import (
    Accept,
    Adjust,
    Adjustment,
    DatedData,
    Exclude,
    MalwareData,
    Matrix,
    Retries,
    Strategy,
    VulnerabilityData,
)
from harness.model.definitions.numeric import NumberFile, Quantity
from harness.model.definitions.profile import CENTER, PROFILES, SELF_TEST, Amount, Amounts, Profile
from harness.model.definitions.resource import VendorResource
from harness.model.definitions.rule import Concerns, ExampleFile, Rule, Rules, Severity
from harness.model.definitions.service import Readiness, Service
from harness.model.definitions.sqlfeature import SqlFeature, SqlFeatures, SqlStep
from harness.model.definitions.sqlmode import SqlMode
from harness.model.definitions.suite import Case, LoadProfile, RateSearch, Suite
from harness.model.definitions.target import (
    EMULATED_MEMORY,
    EMULATED_PROCESSES,
    Cpu,
    Database,
    Emulation,
    Features,
    FileContent,
    Limits,
    Os,
    Repository,
    Wheel,
)
from harness.model.definitions.task import Output, Task
from harness.model.definitions.wording import WordingFile

__all__ = [
    "CENTER",
    "EMULATED_MEMORY",
    "EMULATED_PROCESSES",
    "PROFILES",
    "SELF_TEST",
    "Accelerator",
    "Accept",
    "Account",
    "Accounts",
    "Additions",
    "Adjust",
    "Adjustment",
    "Amount",
    "Amounts",
    "Application",
    "Architecture",
    "Artifact",
    "Audit",
    "Bilingual",
    "Call",
    "Capture",
    "Case",
    "Commission",
    "ComposeFile",
    "Concerns",
    "Cpu",
    "Database",
    "DatabaseImage",
    "Databases",
    "DatedData",
    "Definition",
    "Effort",
    "Efforts",
    "Emulation",
    "Endpoint",
    "EndpointRecipe",
    "EndpointTls",
    "Entry",
    "ExampleFile",
    "Exclude",
    "Features",
    "FileContent",
    "Former",
    "Foundation",
    "Host",
    "Hosts",
    "Http",
    "ImageLicence",
    "ImageRecipe",
    "Imported",
    "IssuerProfile",
    "Limits",
    "LoadProfile",
    "MalwareData",
    "Matrix",
    "Middleware",
    "Modbus",
    "Mqtt",
    "MqttUser",
    "Needs",
    "NumberFile",
    "OpcUa",
    "OpcUaSecurity",
    "OpcUaUser",
    "Os",
    "Output",
    "Playbook",
    "Plugins",
    "Policy",
    "Profile",
    "Quantity",
    "RateSearch",
    "Reached",
    "Readiness",
    "Repository",
    "Request",
    "Resource",
    "Retries",
    "Rule",
    "Rules",
    "Runtime",
    "SchemaStep",
    "Service",
    "Servlet",
    "Session",
    "Severity",
    "SqlFamily",
    "SqlFeature",
    "SqlFeatures",
    "SqlMode",
    "SqlStep",
    "Strategy",
    "Strings",
    "Suite",
    "Task",
    "Template",
    "Text",
    "Tls",
    "Variant",
    "VendorResource",
    "VulnerabilityData",
    "Waiver",
    "Waivers",
    "War",
    "Wheel",
    "WordingFile",
    "Work",
    "WrongPasswords",
    "size_in_bytes",
]
