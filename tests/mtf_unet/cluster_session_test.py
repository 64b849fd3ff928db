"""What a cluster is told before it is reached."""

import pytest

from mtf_unet import cluster
from mtf_unet import cluster_session
from mtf_unet import errors


def test_workers_elsewhere_want_the_client_s_address():
  with pytest.raises(errors.InputError, match='203.0.113.9:22 is another '
                     'machine, expected also --client=host:port'):
    cluster_session.Cluster(cluster.parse('127.0.0.1:1,203.0.113.9:22'))


def test_a_client_s_address_of_another_machine_is_refused():
  with pytest.raises(errors.InputError, match='cannot be listened on'):
    cluster_session.start_server('203.0.113.9', 0, print)
