# SPDX-License-Identifier: Apache-2.0
"""What predicts and is no formula: one file each, registered like laws. See `fitting._estimator.Estimator`."""
